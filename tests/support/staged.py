"""Small models in which sizes depend on data.

In: nothing. Out: graphs as the importer would read them, and files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.operators.table import NEWEST_OPSET

PADS = {"pads": (1, 1, 1, 1)}


def rows_graph(channels: int = 8, size: Dim | None = None) -> Graph:
    """An image [1, 3, H, W] to `features`, and to `y`: as many maps of 8 x 8 as the brightest number says, convolved.

    The number of maps is the whole part of the largest element, at least 0.
    """
    random = np.random.default_rng(0)
    nodes = (
        Node("Conv", ("x", "w1"), ("a",), PADS),
        Node("Relu", ("a",), ("features",)),
        Node("ReduceMax", ("x",), ("most",), {"keepdims": 0}),
        Node("Cast", ("most",), ("limit",), {"to": 7}),
        Node("Range", ("zero", "limit", "one"), ("count",), name="counter"),
        Node("Shape", ("count",), ("number",)),
        Node("GlobalAveragePool", ("features",), ("row",)),
        Node("Concat", ("number", "last"), ("target",), {"axis": 0}),
        Node("Expand", ("row", "target"), ("rows",)),
        Node("Conv", ("rows", "w2"), ("y",), PADS),
    )
    constants: dict[str, Array] = {
        "w1": random.standard_normal((channels, 3, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((channels, channels, 3, 3)).astype(np.float32),
        "zero": np.array(0),
        "one": np.array(1),
        "last": np.array([channels, 8, 8]),
    }
    height, width = (symbol("H"), symbol("W")) if size is None else (size, size)
    x = Value("x", DType.FLOAT32, (1, 3, height, width))
    features = Value("features", DType.FLOAT32, (1, channels, height, width))
    y = Value("y", DType.FLOAT32, (symbol("rows"), channels, 8, 8))
    values = {value.name: value for value in (x, features, y)}
    return Graph("rows", nodes, (x,), ("features", "y"), constants, values, {"": NEWEST_OPSET})


def image(height: int, width: int, rows: int) -> Array:
    """An image that asks for so many rows."""
    x = np.random.default_rng(height * width).uniform(-1, 0, (1, 3, height, width)).astype(np.float32)
    x[0, 0, 0, 0] = rows
    return x


def batch_graph() -> Graph:
    """A convolution over images [N, 3, H, W]."""
    whole = rows_graph()
    x = Value("x", DType.FLOAT32, (symbol("N"), 3, symbol("H"), symbol("W")))
    features = Value("features", DType.FLOAT32, (symbol("N"), 8, symbol("H"), symbol("W")))
    constants = {"w1": whole.constants["w1"]}
    values = {value.name: value for value in (x, features)}
    return Graph("batch", whole.nodes[:2], (x,), ("features",), constants, values, {"": NEWEST_OPSET})


def split_graph() -> Graph:
    """x [6, 2] to a sequence of pairs of rows, its first member scaled, and all joined again: a list between nodes."""
    nodes = (
        Node("Neg", ("x",), ("n",)),
        Node("Split", ("n", "parts"), ("p", "q"), {"axis": 0}),
        Node("SequenceConstruct", ("p", "q"), ("s",)),
        Node("SequenceInsert", ("s", "n"), ("t",)),
        Node("ConcatFromSequence", ("t",), ("y",), {"axis": 0}),
    )
    x = Value("x", DType.FLOAT32, (6, 2))
    y = Value("y", DType.FLOAT32, None)
    return Graph("split", nodes, (x,), ("y",), {"parts": np.array([2, 4])}, {"x": x, "y": y}, {"": NEWEST_OPSET})


def saved_model(folder: Path, graph: Graph) -> Path:
    """The graph as an ONNX file."""
    path = folder / f"{graph.name}.onnx"
    write_onnx(graph, path, NEWEST_OPSET)
    return path
