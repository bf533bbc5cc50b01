from __future__ import annotations

from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.formula import IDENTITY, FormulaBuilder
from alula.engine.graph.nodes import INTERNAL, Node, Value

CONV = Node("Conv", ("x", "w"), ("y",), {"group": 2, "pads": (1, 1), "alpha": 0.5, "auto_pad": b"SAME"})


def test_attributes_come_in_the_type_that_was_asked_for() -> None:
    """A reader of attributes needs no casts."""
    assert CONV.integer("group") == 2
    assert CONV.ints("pads") == (1, 1)
    assert (CONV.real("alpha"), CONV.real("group")) == (0.5, 2.0)
    assert CONV.text("auto_pad") == "SAME"


def test_attributes_that_are_left_out_have_defaults() -> None:
    """The standard's default goes to the place that reads it."""
    assert (CONV.integer("axis", -1), CONV.ints("strides", (1, 1)), CONV.real("beta"), CONV.text("mode", "a")) == (
        -1,
        (1, 1),
        0.0,
        "a",
    )
    assert CONV.formula("epilogue") is not None
    assert CONV.formula("epilogue") == IDENTITY


def test_changed_attributes_leave_the_old_node_alone() -> None:
    """Nodes are frozen: other holders of the record see no change."""
    builder = FormulaBuilder(1)
    builder.exp(*builder.arguments())

    changed = CONV.with_attributes(epilogue=builder.build(), group=1)

    assert (changed.integer("group"), str(changed.formula("epilogue"))) == (1, "r1 = exp(r0)")
    assert (CONV.integer("group"), "epilogue" in CONV.attributes) == (2, False)


def test_label_is_the_name_or_the_first_output() -> None:
    """Messages name a node as its author would find it."""
    assert CONV.label == "y"
    assert Node("Conv", (), ("", "y2"), name="stage1.conv").label == "stage1.conv"
    assert Node("Split", (), ("", "y2")).label == "y2"
    assert Node("Conv", (), ()).label == "Conv"


def test_operators_of_two_domains_are_two_kinds() -> None:
    """A pass's own operator never meets one of the same name from a model file."""
    assert Node("Elementwise", (), ("y",), domain=INTERNAL).kind != Node("Elementwise", (), ("y",)).kind


def test_left_out_input_reads_as_empty() -> None:
    """Optional inputs at the end may be missing altogether."""
    assert (CONV.input(1), CONV.input(2)) == ("w", "")


def test_value_prints_dtype_shape_and_layout() -> None:
    """The text form shows everything that a pass may have changed."""
    assert str(Value("x", DType.FLOAT32, (1, symbol("H"), 3), 16)) == "%x float32 [1, H, 3] /16"
    assert str(Value("my x", DType.INT8, None)) == "%my x int8 ?"
