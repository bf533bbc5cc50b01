from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.classifier import LABELS, Classifier, write_classifier

from alula.base.errors import LimitError, MissingError, RequestError
from alula.base.session import OpenOptions
from alula.base.settings import Settings, read_settings
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model
from alula.workbench.bundle import BundleFiles, open_bundle, read_extras


@pytest.fixture
def files(tmp_path: Path) -> Classifier:
    """A classifier of three colours."""
    return write_classifier(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, over a cache of the test's own."""
    return read_settings({"ALULA_CACHE": str(tmp_path / "cache"), "ALULA_JOBS": "1"})


@pytest.fixture
def plan(files: Classifier) -> Path:
    """The classifier compiled, with what it needs for pictures inside."""
    path = files.model.with_name("inside.alula")
    extras = read_extras(files.model, str(files.preprocess), str(files.labels))
    compile_graph(import_model(files.model), path, CompileOptions(extras=extras, jobs=1))
    return path


def test_model_alone_has_neither_preprocessing_nor_labels(files: Classifier, settings: Settings) -> None:
    """Nothing is guessed."""
    bundle = open_bundle(files.model, OpenOptions(), settings)

    assert (bundle.preprocessing, bundle.labels) == (None, ())
    bundle.session.close()


def test_files_beside_the_model_are_taken_by_their_names(files: Classifier, settings: Settings) -> None:
    """NAME.labels.txt and NAME.preprocess.toml travel with NAME.onnx."""
    os.link(files.preprocess, files.model.with_name("colours.preprocess.toml"))
    os.link(files.labels, files.model.with_name("colours.labels.txt"))

    bundle = open_bundle(files.model, OpenOptions(), settings)

    assert bundle.labels == LABELS
    assert bundle.preprocessing is not None
    assert bundle.preprocessing.shape == (1, 3, 8, 8)
    bundle.session.close()


def test_plan_brings_its_own_and_given_files_win(plan: Path, files: Classifier, settings: Settings) -> None:
    """Inside the plan first, then what stands on the command line."""
    german = files.model.with_name("german.txt")
    german.write_text("rot\ngrün\nblau\n", encoding="utf-8")

    inside = open_bundle(plan, OpenOptions(), settings)
    given = open_bundle(plan, OpenOptions(), settings, BundleFiles(labels=str(german)))

    assert inside.labels == LABELS
    assert given.labels == ("rot", "grün", "blau")
    assert given.preprocessing == inside.preprocessing is not None
    inside.session.close()
    given.session.close()


@pytest.mark.parametrize(
    "options", [OpenOptions("reference"), OpenOptions(target="x86-64-v2"), OpenOptions(shapes={"x": (1, 3, 8, 8)})]
)
def test_plan_refuses_options_that_it_could_only_ignore(options: OpenOptions, plan: Path, settings: Settings) -> None:
    """A plan is compiled already, for one provider, target and shape."""
    with pytest.raises(RequestError, match="is a compiled plan"):
        open_bundle(plan, options, settings)


def test_given_file_must_be_there_and_small(files: Classifier) -> None:
    """A name that is mistyped is not passed over; a large file is not read."""
    large = files.model.with_name("large.txt")
    with large.open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(MissingError, match="needs a file, there is none"):
        read_extras(files.model, None, "gone.txt")
    with pytest.raises(LimitError, match="may have 4194304 bytes"):
        read_extras(files.model, None, str(large))
