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
from alula.base.shapes import Shapes, describe_shapes, expand_shapes, parse_shape_sets

_MOST_DIGITS = 18
_SHAPE_HELP = "shape of an input; may be repeated; {32..640:32} or {1,2,4} in place of a number declares several"


def add_model(parser: argparse.ArgumentParser, threads: str = "as many as this process may use") -> None:
    """MODEL, --shape, --target, --threads; `threads` says what the command does when nothing is said."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model or a compiled .alula plan")
    add_compile(parser)
    parser.add_argument(
        "--threads", type=count("--threads"), default=0, metavar="N", help=f"threads of a run (default: {threads})"
    )


def add_compile(parser: argparse.ArgumentParser) -> None:
    """--shape, --target."""
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help=_SHAPE_HELP)
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
    """`x=1x3x224x224` as {"x": (1, 3, 224, 224)}, for commands that work with one shape.

    Raises:
        RequestError: the text has another form, or declares several shapes.
    """
    combinations = parse_combinations(texts)
    if len(combinations) > 1:
        found = f"{len(combinations)} combinations: {describe_shapes(combinations)}"
        raise RequestError("--shape", "needs one shape for each input here", found)
    return combinations[0]


def parse_combinations(texts: Sequence[str]) -> tuple[Shapes, ...]:
    """All shapes that `x=1x3x48x{32..640:32}` declares, each as {"x": (1, 3, 48, 32)}; one, empty, for no text.

    Raises:
        RequestError: the text has another form, or declares too many.
    """
    return expand_shapes(parse_shape_sets(texts))
