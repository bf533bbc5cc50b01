from __future__ import annotations

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.formula import FormulaBuilder
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Attribute, Node, Value
from alula.engine.graph.text import show_graph

GOLDEN = """\
graph tiny {
  input %my x float32 [N, 3, H, 8]
  %a = Conv(%my x, #w[16x3x3x3], _) {strides=(2, 2), auto_pad=b'SAME_UPPER'} : float32 [N, 16, ((H + 1) // 2), 4] /16
  %b, _ = alula.Elementwise(%a, 0.5) {formula=<r1 = exp(r0)>} : float32 ?
  %y out = If(%b, %b) {captures=('b',), then=graph(1 nodes), table=tensor[4x4], long=(13 numbers)} : float32 ?
    then {
      capture %b float32 [2]
      %c = Relu(%b) : float32 ?
      output %c
    }
  output %y out
}
"""


def test_whole_graph_prints_as_text() -> None:
    """The text form shows each node's operator, operands, attributes and result, and fits a bug report."""
    builder = FormulaBuilder(1)
    builder.exp(*builder.arguments())
    height = symbol("H")
    x = Value("my x", DType.FLOAT32, (symbol("N"), 3, height, 8))
    a = Value("a", DType.FLOAT32, (symbol("N"), 16, (height + 1) // 2, 4), 16)
    inner = Graph("then", (Node("Relu", ("b",), ("c",)),), (Value("b", DType.FLOAT32, (2,)),), ("c",), {}, {})
    odd: dict[str, Attribute] = {"captures": ("b",), "then": inner, "table": np.zeros((4, 4)), "long": (0,) * 13}
    nodes = (
        Node("Conv", ("my x", "w", ""), ("a",), {"strides": (2, 2), "auto_pad": b"SAME_UPPER"}),
        Node("Elementwise", ("a", "half"), ("b", ""), {"formula": builder.build()}, domain=INTERNAL),
        Node("If", ("b", "b"), ("y out",), odd),
    )
    constants = {"w": np.zeros((16, 3, 3, 3), np.float32), "half": np.array(0.5, np.float32)}
    graph = Graph("tiny", nodes, (x,), ("y out",), constants, {"my x": x, "a": a})

    text = show_graph(graph)

    assert text == GOLDEN


def test_graph_without_a_name_is_a_model() -> None:
    """Files may leave the name out."""
    assert show_graph(Graph("", (), (), (), {}, {})) == "graph model {\n}\n"
