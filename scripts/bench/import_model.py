#!/usr/bin/env python3
"""Measures how long reading a model takes and how much memory, each time in a process of its own.

    scripts/bench/import_model.py                                          print a table
    scripts/bench/import_model.py --record benchmarks/records/import-model.json

The models are made with the onnx library in a temporary folder: a text encoder as PyTorch exports it (18 layers, 92
nodes each), one with 500 MB of weights in the file and one beside it, and chains of very many nodes. Nothing is
compiled: only the reader runs. In: nothing. Out: seconds (median and spread) and peak resident memory of the process,
beside that of a process that only imports the reader.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from alula.workbench.machine import describe_machine

ROUNDS = 7
_LAYERS = 18
_OPSET = 17

# Runs in the fresh process; an empty path reads nothing. Memory: VmHWM of proc(5), in KiB; getrusage(2) would count the
# process that this one was forked from, which holds the models.
_PROBE = """
import json, re, sys, time
from pathlib import Path
from alula.base.errors import LimitError
from alula.engine.importers.onnx import load_onnx
nodes, refused, started = 0, "", time.perf_counter()
try:
    nodes = len(load_onnx(Path(sys.argv[1])).nodes) if sys.argv[1] else 0
except LimitError as error:
    refused = error.needed
seconds = time.perf_counter() - started
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"seconds": seconds, "peak": peak, "nodes": nodes, "refused": refused}))
"""


class Encoder:
    """Writes a text encoder node by node, with the names and detours of PyTorch's exporter."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.layer = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node; returns its output."""
        label = f"/encoder/layer.{self.layer}/attention/{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{label}_output_0"], name=label, **attributes))
        return f"{label}_output_0"

    def weight(self, *shape: int) -> str:
        """An initializer."""
        name = f"encoder.layer.{self.layer}.attention.weight_{len(self.weights)}"
        data = np.zeros(shape, np.float32).tobytes()
        self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, shape, data, raw=True))
        return name

    def constant(self, value: list[int] | np.float32 | int) -> str:
        """A Constant node."""
        return self.op("Constant", value=numpy_helper.from_array(np.array(value)))

    def head(self, x: str) -> str:
        """A projection, reshaped to heads by sizes that are read from the data."""
        x = self.op("Add", self.op("MatMul", x, self.weight(self.width, self.width)), self.weight(self.width))
        shape = self.op("Shape", x)
        sizes = [
            self.op("Unsqueeze", self.op("Gather", shape, self.constant(axis), axis=0), self.constant([0]))
            for axis in (0, 1)
        ]
        target = self.op("Concat", *sizes, self.constant([4]), self.constant([self.width // 4]), axis=0)
        return self.op("Transpose", self.op("Reshape", x, target), perm=[0, 2, 1, 3])

    def normalised(self, x: str) -> str:
        """Layer normalisation in plain operators."""
        away = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        variance = self.op("ReduceMean", self.op("Pow", away, self.constant(np.float32(2))), axes=[-1])
        scaled = self.op("Div", away, self.op("Sqrt", self.op("Add", variance, self.constant(np.float32(1e-5)))))
        return self.op("Add", self.op("Mul", scaled, self.weight(self.width)), self.weight(self.width))

    def block(self, x: str) -> str:
        """One layer of the encoder."""
        query, key, value = self.head(x), self.head(x), self.head(x)
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        attention = self.op("Softmax", self.op("Div", scores, self.constant(np.float32(8))), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", attention, value), perm=[0, 2, 1, 3])
        mixed = self.op("Reshape", mixed, self.constant([0, 0, self.width]))
        x = self.normalised(self.op("Add", x, self.op("MatMul", mixed, self.weight(self.width, self.width))))
        wide = self.op("MatMul", x, self.weight(self.width, 4 * self.width))
        error = self.op("Erf", self.op("Div", wide, self.constant(np.float32(2**0.5))))
        gelu = self.op("Mul", wide, self.op("Add", error, self.constant(np.float32(1))))
        gelu = self.op("Mul", gelu, self.constant(np.float32(0.5)))
        return self.normalised(self.op("Add", x, self.op("MatMul", gelu, self.weight(4 * self.width, self.width))))


def encoder(width: int) -> onnx.ModelProto:
    """A text encoder of 18 layers; a width of 784 gives 500 MB of weights."""
    builder = Encoder(width)
    x = "x"
    for builder.layer in range(_LAYERS):
        x = builder.block(x)
    return model(builder.nodes, x, ["batch", "sequence", width], builder.weights)


def chain(count: int) -> onnx.ModelProto:
    """So many nodes, one after the other."""
    nodes = [helper.make_node("Relu", [f"v{index}" if index else "x"], [f"v{index + 1}"]) for index in range(count)]
    return model(nodes, f"v{count}", [1], [])


def model(
    nodes: list[onnx.NodeProto], output: str, shape: list[int | str], weights: list[onnx.TensorProto]
) -> onnx.ModelProto:
    """A model with input x and one output, both of this shape."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", output)]
    graph = helper.make_graph(nodes, "main", infos[:1], infos[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])


def write_models(folder: Path) -> dict[str, Path]:
    """All models, by what they are."""
    small, large = encoder(64), encoder(784)
    paths = {
        "encoder": folder / "encoder.onnx",
        "encoder, 500 MB in the file": folder / "large.onnx",
        "encoder, 500 MB beside the file": folder / "external.onnx",
        "chain of 200,000 nodes": folder / "long.onnx",
        "chain of 1,000,000 nodes": folder / "endless.onnx",
    }
    protos = [small, large, large, chain(200_000), chain(1_000_000)]
    for (name, path), proto in zip(paths.items(), protos, strict=True):
        beside = "beside" in name
        onnx.save(proto, path, save_as_external_data=beside, location="weights.bin" if beside else None)
    return paths


def measure(path: Path | str) -> dict[str, Any]:
    """One reading in a fresh process."""
    command = [sys.executable, "-c", _PROBE, str(path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  this file's own words
    return dict(json.loads(found.stdout))


def summary(path: Path, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one model as one row."""
    seconds = [found["seconds"] for found in rounds]
    files = [path, path.parent / "weights.bin"] if path.name == "external.onnx" else [path]
    return {
        "file_bytes": sum(file.stat().st_size for file in files),
        "nodes": rounds[0]["nodes"],
        "refused": rounds[0]["refused"],
        "seconds": {"median": statistics.median(seconds), "lowest": min(seconds), "highest": max(seconds)},
        "peak_bytes": max(found["peak"] for found in rounds),
    }


def main() -> int:
    """Make, measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"readings of each model (default: {ROUNDS})")
    parser.add_argument("--record", type=Path, help="file to write the results to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = write_models(Path(name))
        rounds: dict[str, list[dict[str, Any]]] = {key: [] for key in paths}
        for _ in range(options.rounds):  # in turn, so that a slow minute falls on all of them
            for key, path in paths.items():
                rounds[key].append(measure(path))
        rows = {key: summary(path, rounds[key]) for key, path in paths.items()}
        nothing = measure("")["peak"]
    print(f"{'model':<34} {'nodes':>8} {'file MB':>8} {'ms':>8} {'peak MB':>8}  (nothing read: {nothing / 1e6:.0f} MB)")
    for key, row in rows.items():
        numbers = f"{row['file_bytes'] / 1e6:8.1f} {row['seconds']['median'] * 1e3:8.1f} {row['peak_bytes'] / 1e6:8.1f}"
        print(f"{key:<34} {row['nodes'] or 'refused':>8} {numbers}")
    if options.record:
        record = {
            "question": "how long reading a model takes, and how much memory",
            "command": "scripts/bench/import_model.py --record benchmarks/records/import-model.json",
            **describe_machine(),
            "rounds": options.rounds,
            "peak_bytes_of_nothing": nothing,
            "results": rows,
        }
        options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
