"""Predictions from files, for the command line and the demo.

In: a bundle, pictures or arrays. Out: plain records that JSON can hold.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.errors import MissingError, RequestError
from alula.engine.graph.nodes import Array
from alula.imaging.classify import classify
from alula.imaging.decode import decode
from alula.imaging.picture import DecodeLimits
from alula.imaging.preprocess import Preprocessing
from alula.workbench.arrays import read_arrays
from alula.workbench.bundle import Bundle

_SHOWN = 8


def predict_pictures(bundle: Bundle, paths: Sequence[Path], top: int) -> list[dict[str, Any]]:
    """Labels for pictures, one record each: picture, predictions, milliseconds of every phase.

    Raises:
        MissingError: a file is not there, or nothing says how pictures become inputs.
        ImageError: a file is no picture that can be read.
    """
    rule = bundle.preprocessing
    if rule is None:
        hint = "hand in NAME=FILE.npy, or say --preprocess FILE"
        raise MissingError("picture input", "needs a preprocessing declaration", "the model has none", hint)
    return [_predict(bundle, rule, path, top) for path in paths]


def predict_arrays(bundle: Bundle, words: Sequence[str], save: str | None = None) -> dict[str, Any]:
    """Raw outputs for arrays given as NAME=FILE.npy; saved as .npz if a file is named.

    Raises:
        RequestError: no inputs were given.
    """
    if not words:
        wanted = ", ".join(map(str, bundle.session.inputs))
        raise RequestError("inputs", f"needs {wanted}", "got none", "alula run MODEL photo.jpg, or NAME=FILE.npy")
    only = bundle.session.inputs[0].name if len(bundle.session.inputs) == 1 else ""
    results = bundle.session.run(read_arrays(words, only))
    arrays = {name: np.asarray(tensor) for name, tensor in results.items()}
    if save:
        _save(Path(save), arrays)
    return {"outputs": [_summary(name, array) for name, array in arrays.items()]}


def _predict(bundle: Bundle, rule: Preprocessing, path: Path, top: int) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(str(path), "needs a picture", "there is no such file", "check the path")
    marks = [time.perf_counter()]
    with path.open("rb") as file:
        data = file.read(DecodeLimits().file_bytes + 1)  # one more than is allowed, so that larger files are refused
    marks.append(time.perf_counter())
    picture = decode(data)
    marks.append(time.perf_counter())
    tensor = rule.empty()
    rule.run(picture, tensor)
    marks.append(time.perf_counter())
    name = rule.name or bundle.session.inputs[0].name
    results = bundle.session.run({name: tensor})
    marks.append(time.perf_counter())
    first = next(iter(results.values()))
    found = classify(np.asarray(first), bundle.labels, top, rule.scores)
    marks.append(time.perf_counter())
    phases = ("read", "decode", "preprocess", "inference", "postprocess")
    timings = {phase: (b - a) * 1e3 for phase, a, b in zip(phases, marks, marks[1:], strict=False)}
    return {"picture": str(path), "predictions": [vars(row) for row in found], "timings_ms": timings}


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as .npz; not by numpy.savez, in whose parameters an output named `file` would end."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _summary(name: str, array: Array) -> dict[str, Any]:
    flat = array.reshape(-1).astype(np.float64)
    return {
        "name": name,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "least": float(flat.min(initial=np.inf)),
        "most": float(flat.max(initial=-np.inf)),
        "first": flat[:_SHOWN].tolist(),
    }
