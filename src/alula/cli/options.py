"""Arguments that several commands share, and how their text becomes values.

In: an argparse parser. Out: arguments added; parsed shapes and settings.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from alula.base.errors import RequestError
from alula.base.settings import Settings, read_settings


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL, --shape, --target, --threads."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model or a compiled .alula plan")
    add_compile(parser)
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="worker threads (default: all allowed)")


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
    """The settings of the environment, overruled by the command line.

    Raises:
        RequestError: a number is out of range.
    """
    settings = read_settings(os.environ)
    threads = getattr(options, "threads", 0)
    if threads < 0:
        raise RequestError("--threads", "a number of 0 or more", f"got {threads}")
    return replace(
        settings, threads=threads or settings.threads, target=getattr(options, "target", "") or settings.target
    )


def parse_shapes(texts: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """`x=1x3x224x224` as {"x": (1, 3, 224, 224)}.

    Raises:
        RequestError: the text has another form.
    """
    shapes = {}
    for text in texts:
        name, separator, numbers = text.rpartition("=")
        parts = numbers.split("x")
        if not separator or not name or not all(part.isdigit() and int(part) > 0 for part in parts):
            raise RequestError("--shape", "the form NAME=1x3x224x224", f"got {text!r}")
        shapes[name] = tuple(map(int, parts))
    return shapes
