"""Arguments that several commands share, and how their text becomes values.

In: an argparse parser. Out: arguments added; parsed shapes and settings.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from alula.base.errors import RequestError
from alula.base.settings import Settings, read_settings

_MOST_DIGITS = 18


def add_model(parser: argparse.ArgumentParser, threads: str = "as many as this process may use") -> None:
    """MODEL, --shape, --target, --threads; `threads` says what the command does when nothing is said."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model or a compiled .alula plan")
    add_compile(parser)
    parser.add_argument(
        "--threads", type=count("--threads"), default=0, metavar="N", help=f"threads of a run (default: {threads})"
    )


def add_compile(parser: argparse.ArgumentParser) -> None:
    """--shape, --target."""
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="shape of an input; may be repeated"
    )
    parser.add_argument(
        "--target", default="", metavar="CPU", help="x86-64-v2, x86-64-v3 or x86-64-v4 (default: this machine's best)"
    )


def add_picture(parser: argparse.ArgumentParser) -> None:
    """--labels, --preprocess."""
    parser.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    parser.add_argument("--preprocess", metavar="FILE", help="TOML that says how a picture becomes the input")


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the environment, overruled by the command line."""
    settings = read_settings(os.environ)
    threads = getattr(options, "threads", 0) or settings.threads
    return replace(settings, threads=threads, target=getattr(options, "target", "") or settings.target)


def count(option: str, least: int = 0) -> Callable[[str], int]:
    """The parser of a whole number for an option.

    Returns:
        A function that raises RequestError for anything but a number of `least` or more.
    """

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS or int(text) < least:
            raise RequestError(option, f"needs a whole number of {least} or more", f"got {text!r}")
        return int(text)

    return parse


def parse_shapes(texts: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """`x=1x3x224x224` as {"x": (1, 3, 224, 224)}.

    Raises:
        RequestError: the text has another form.
    """
    shapes = {}
    for text in texts:
        name, separator, numbers = text.rpartition("=")
        parts = numbers.split("x")
        if not separator or not name or not all(map(_is_dim, parts)):
            raise RequestError("--shape", "needs the form NAME=1x3x224x224", f"got {text!r}")
        shapes[name] = tuple(map(int, parts))
    return shapes


def _is_dim(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0
