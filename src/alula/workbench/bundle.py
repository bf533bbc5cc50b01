"""A model together with what turns pictures into its input and its output into words.

In: a model or plan file, optionally TOML and labels beside it. Out: `Bundle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alula.base.errors import LimitError, MissingError, RequestError
from alula.base.session import OpenOptions, Session
from alula.base.settings import Settings
from alula.engine.runtime.file import is_plan_file
from alula.engine.runtime.shaped import open_session
from alula.engine.sessions.host import host_within
from alula.engine.sessions.opener import open_model
from alula.imaging.classify import parse_labels
from alula.imaging.declaration import parse_preprocessing
from alula.imaging.preprocess import Preprocessing

PREPROCESS = "preprocess.toml"
LABELS = "labels.txt"
_LARGEST_FILE = 4 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened model; `preprocessing` is None and `labels` empty where nothing says them."""

    session: Session
    preprocessing: Preprocessing | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class BundleFiles:
    """Files given by hand; None means: look inside the plan, then beside the model."""

    preprocess: str | None = None
    labels: str | None = None


def read_extras(model: Path, preprocess: str | None, labels: str | None) -> Mapping[str, bytes]:
    """What travels inside a plan: the given files, else `NAME.preprocess.toml` and `NAME.labels.txt` beside the model.

    The declaration and the labels are read once here, so that a bad one is refused before anything is compiled.
    """
    extras = {}
    for name, given in ((PREPROCESS, preprocess), (LABELS, labels)):
        path = Path(given) if given else model.with_name(f"{model.stem}.{name}")
        if path.is_file():
            extras[name] = _content(path)
        elif given:
            raise MissingError(str(path), "needs a file", "there is none", "check the path")
    _parsed(extras)
    return extras


def open_bundle(path: Path, options: OpenOptions, settings: Settings, files: BundleFiles = BundleFiles()) -> Bundle:
    """Open a model or plan with its preprocessing and labels.

    Raises:
        AlulaError: as opening does; RequestError for options that only a model, not a plan, can follow.
    """
    extras = dict(read_extras(path, files.preprocess, files.labels))
    if is_plan_file(path):
        _check_plan_options(path, options)
        threads = options.threads or settings.threads or None
        plan = open_session(path, threads=threads, verify=settings.verify, host=host_within(settings.loop_limit))
        session: Session = plan
        extras = {**plan.extras, **extras}
    else:
        session = open_model(path, options, settings)
    preprocessing, labels = _parsed(extras)
    return Bundle(session, preprocessing, labels)


def _check_plan_options(path: Path, options: OpenOptions) -> None:
    """A plan is compiled: what asks for another compilation or provider would be ignored."""
    chosen = {"--shape": options.shapes, "--target": options.target}
    given = [name for name, value in chosen.items() if value]
    if options.provider != "native":
        given.append(f"provider {options.provider}")
    if given:
        raise RequestError(given[0], "needs an ONNX model", f"{path} is a compiled plan", "name the model instead")


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _LARGEST_FILE:
        raise LimitError(str(path), f"may have {_LARGEST_FILE} bytes", f"it has {size}")
    return path.read_bytes()


def _parsed(extras: Mapping[str, bytes]) -> tuple[Preprocessing | None, tuple[str, ...]]:
    declared, labels = extras.get(PREPROCESS), extras.get(LABELS, b"")
    preprocessing = parse_preprocessing(declared.decode("utf-8", "replace")) if declared is not None else None
    return preprocessing, parse_labels(labels.decode("utf-8", "replace"))
