#!/usr/bin/env python3
"""Runs a small network of changing sizes again and again, and says how memory grows.

    scripts/bench/soak_shapes.py                   1,000 runs, a new size nearly every time
    scripts/bench/soak_shapes.py --runs 5000 --sizes 200

The network has a convolution over an image of any size, a number of maps that depends on its pixels, and another
convolution over those maps. In: nothing. Out: resident memory, open plans, mapped plans and the size of the cache
along the way; exit code 1 if memory grew by more than the bound from the end of the warm-up to the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from alula.base.session import OpenOptions
from alula.base.settings import read_settings
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.sessions.native import open_native
from alula.engine.sessions.specialise import SpecialisingSession

CHANNELS = 32


def network() -> Graph:
    """Image [1, 3, H, W] to features, and as many small maps as the image says."""
    random = np.random.default_rng(0)
    nodes = (
        Node("Conv", ("x", "w1"), ("a",), {"pads": (1, 1, 1, 1)}),
        Node("Relu", ("a",), ("features",)),
        Node("ReduceMax", ("x",), ("most",), {"keepdims": 0}),
        Node("Cast", ("most",), ("limit",), {"to": 7}),
        Node("Range", ("zero", "limit", "one"), ("count",)),
        Node("Shape", ("count",), ("number",)),
        Node("GlobalAveragePool", ("features",), ("row",)),
        Node("Concat", ("number", "last"), ("target",), {"axis": 0}),
        Node("Expand", ("row", "target"), ("rows",)),
        Node("Conv", ("rows", "w2"), ("y",), {"pads": (1, 1, 1, 1)}),
    )
    constants = {
        "w1": random.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32),
        "zero": np.array(0),
        "one": np.array(1),
        "last": np.array([CHANNELS, 8, 8]),
    }
    x = Value("x", DType.FLOAT32, (1, 3, symbol("H"), symbol("W")))
    features = Value("features", DType.FLOAT32, (1, CHANNELS, symbol("H"), symbol("W")))
    rows = Value("y", DType.FLOAT32, (symbol("rows"), CHANNELS, 8, 8))
    values = {value.name: value for value in (x, features, rows)}
    return Graph("soak", nodes, (x,), ("features", "y"), constants, values, {"": NEWEST_OPSET})


def resident() -> int:
    """Bytes of this process in memory (proc(5), /proc/self/statm)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mapped_plans() -> int:
    """Plan files that this process has mapped; each one more than once."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return len({line.split()[-1] for line in lines if ".alula" in line})


def soak(session: SpecialisingSession, runs: int, sizes: int, warm: int) -> int:
    """Run; returns how many bytes were resident more at the end than after `warm` runs."""
    random = np.random.default_rng(1)
    start = resident()
    for number in range(runs):
        height, width = 64 + 2 * int(random.integers(sizes)), 64 + 2 * int(random.integers(sizes))
        x = np.zeros((1, 3, height, width), np.float32)
        x[0, 0, 0, 0] = 16 + int(random.integers(sizes))
        began = time.perf_counter()
        session.run({"x": x})
        if number == warm:
            start = resident()
        if number % max(1, runs // 20) == 0:
            milliseconds = (time.perf_counter() - began) * 1e3
            print(
                f"run {number:>6}: {resident() / 1e6:7.1f} MB, {session.open_plans} plans open, "
                f"{mapped_plans()} mapped, {milliseconds:.1f} ms",
                flush=True,
            )
    return resident() - start


def main() -> int:
    """Soak and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="runs (default: 1000)")
    parser.add_argument("--sizes", type=int, default=64, help="sizes of each dimension (default: 64)")
    parser.add_argument("--bound", type=float, default=32.0, help="megabytes of growth that are allowed (default: 32)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "soak.onnx"
        write_onnx(network(), path, NEWEST_OPSET)
        cache = Path(folder) / "cache"
        settings = read_settings({"ALULA_CACHE": str(cache), "ALULA_THREADS": "1", "ALULA_CACHE_BYTES": "64M"})
        session = open_native(path, OpenOptions(), settings)
        if not isinstance(session, SpecialisingSession):
            print("the network should have needed stages")
            return 1
        grown = soak(session, options.runs, options.sizes, warm=max(1, options.runs // 10))
        session.close()
        kept = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
        print(f"grown by {grown / 1e6:.1f} MB after the warm-up; cache {kept / 1e6:.1f} MB; {mapped_plans()} mapped")
    return int(grown > options.bound * 1e6)


if __name__ == "__main__":
    sys.exit(main())
