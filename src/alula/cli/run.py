"""`alula run MODEL INPUT...`: one prediction.

In: a model, pictures or arrays. Out: labels, or what the outputs are; `--output` keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alula.base.errors import RequestError
from alula.cli.options import add_model, add_picture, count, settings_of
from alula.cli.text import as_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(parser)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="pictures (JPEG, PNG) or NAME=FILE.npy")
    add_picture(parser)
    parser.add_argument("--top", type=count("--top", 1), default=5, metavar="N", help="how many labels (default: 5)")
    parser.add_argument("--provider", default="native", help="native, reference or onnxruntime (default: native)")
    parser.add_argument("--output", metavar="FILE.npz", help="save the raw outputs")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Predict and print."""
    from alula.base.session import OpenOptions
    from alula.base.shapes import parse_shape_sets
    from alula.cli.progress import Progress
    from alula.workbench.bundle import BundleFiles, open_bundle
    from alula.workbench.predict import predict_arrays, predict_pictures

    settings = settings_of(options)
    pictures = [word for word in options.inputs if not word.endswith(".npy")]
    _check_mixture(options, pictures)
    shapes = parse_shape_sets(options.shape)
    files = BundleFiles(options.preprocess, options.labels)
    with Progress(f"compiling {options.model}") as progress:
        choices = OpenOptions(options.provider, settings.threads, shapes, options.target, progress=progress)
        bundle = open_bundle(Path(options.model), choices, settings, files)
    if pictures:
        results: list[dict[str, Any]] = predict_pictures(bundle, [Path(word) for word in pictures], options.top)
    else:
        results = [predict_arrays(bundle, options.inputs, options.output)]
    bundle.session.close()
    print(as_json(results) if options.json else "\n".join(map(_text, results)))
    return 0


def _check_mixture(options: argparse.Namespace, pictures: Sequence[str]) -> None:
    if pictures and len(pictures) < len(options.inputs):
        found = f"got {pictures[0]!r} beside NAME=FILE.npy"
        raise RequestError("inputs", "needs pictures, or arrays for one run", found)
    if pictures and options.output:
        raise RequestError("--output", "saves the outputs of NAME=FILE.npy inputs", f"got {pictures[0]!r}")


def _text(result: dict[str, Any]) -> str:
    lines = []
    if "picture" in result:
        times = ", ".join(f"{name} {value:.2f}" for name, value in result["timings_ms"].items())
        lines.append(f"{result['picture']}  (ms: {times})")
    lines += [f"  {row['score']:7.4f}  {row['label'] or row['index']}" for row in result.get("predictions", ())]
    for row in result.get("outputs", ()):
        lines.append(f"{row['name']} {row['dtype']} {row['shape']}: from {row['least']:.6g} to {row['most']:.6g}")
        lines.append(f"  first values: {' '.join(f'{value:.6g}' for value in row['first'])}")
    return "\n".join(lines)
