"""Every elementwise operator over every element type, compiled, against its reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.elementwise_forms import FORMS, Form
from support.extremes import numbers
from support.planned import planned, results_of
from support.plans import RUNNABLE

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.graph.primitives import FORMULA_TYPES
from alula.engine.kernels.target import target_named
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.precision import is_real, widened
from alula.engine.operators.table import OPERATORS
from alula.engine.plan.records import HostStep
from alula.engine.sessions.reference import prepare_reference


def _model(dtype: DType, forms: list[Form]) -> tuple[Graph, dict[str, Array]]:
    """All forms side by side, over each pair of extremes."""
    x, y = (grid.reshape(-1).copy() for grid in np.meshgrid(numbers(dtype), numbers(dtype)))
    feeds = {"x": x, "y": y, "mask": np.arange(x.size) % 3 == 0}
    amounts = (1, 2, 100) if dtype is not DType.BOOL else (True, False, True)
    constants = {
        n: np.asarray(v).astype(numpy_dtype(dtype)) for n, v in zip(("one", "two", "high"), amounts, strict=True)
    }
    nodes = [Node(form.op, tuple(form.inputs.split()), (form.name,), form.attributes) for form in forms]
    used = {name for node in nodes for name in node.inputs}
    arrays = {name: array for name, array in {**feeds, **constants}.items() if name in used}
    values = {name: Value(name, dtype_of(array), array.shape) for name, array in arrays.items()}
    inputs = tuple(values[name] for name in feeds if name in used)
    outputs = tuple(form.name for form in forms)
    kept = {name: array for name, array in constants.items() if name in used}
    graph = Graph("forms", tuple(nodes), inputs, outputs, kept, values, {"": 28})
    return graph, {name: array for name, array in feeds.items() if name in used}


@pytest.mark.parametrize("target", sorted({RUNNABLE[0].name, RUNNABLE[-1].name}))
@pytest.mark.parametrize("dtype", sorted(FORMULA_TYPES, key=str), ids=str)
def test_compiled_operators_agree_with_their_references(dtype: DType, target: str, tmp_path: Path) -> None:
    """Rule: whatever the elements are, generated code computes what the reference says, and runs where it can."""
    forms = [form for form in FORMS if dtype in form.types]
    graph, feeds = _model(dtype, forms)
    plan = planned(graph, target_named(target))

    found = results_of(plan, tmp_path, feeds)

    with np.errstate(all="ignore"):
        wanted = evaluate_graph(prepare_reference(graph), feeds)
        for form in forms:
            _compare(found[form.name], wanted[form.name], f"{form.name} of {dtype}")
    on_host = {step.label for step in plan.steps if isinstance(step, HostStep)}
    assert on_host == {form.name for form in forms if dtype not in form.native}


@pytest.mark.parametrize("target", sorted({t.name for t in RUNNABLE}))
@pytest.mark.parametrize("source", [DType.FLOAT32, DType.FLOAT64, DType.FLOAT16], ids=str)
def test_subnormal_float16_is_no_subnormal_float32(source: DType, target: str, tmp_path: Path) -> None:
    """Rule: runs flush subnormal numbers of the type that they compute in; those of float16 are normal there."""
    small = np.array([6e-8, 1e-7, 3e-6, -6.2e-5, 5.9e-8, 2.9e-8, 3.1e-8, 0.0, 6.1e-5] * 3).astype(numpy_dtype(source))
    node = Node("Cast", ("x",), ("y",), {"to": 1 if source is DType.FLOAT16 else 10})
    value = Value("x", source, small.shape)
    graph = Graph("small", (node,), (value,), ("y",), {}, {"x": value}, {"": 28})

    found = results_of(planned(graph, target_named(target)), tmp_path, {"x": small})

    np.testing.assert_array_equal(found["y"], small.astype(found["y"].dtype))


def _compare(got: Array, want: Array, about: str) -> None:
    assert got.dtype == want.dtype, about
    if not is_real(want.dtype):
        np.testing.assert_array_equal(got, want, err_msg=about)
        return
    # Short floats are computed in float32 and rounded once: another rounding may be one step away.
    step = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(want.dtype.name, 1e-5)
    np.testing.assert_allclose(widened(got), widened(want), rtol=step, atol=1e-6, err_msg=about)


def test_every_operator_that_becomes_a_formula_is_tried() -> None:
    """Rule: a new lowering brings its form; the types it is posed for are those that the standard gives it."""
    lowered = {name for (domain, name), operator in OPERATORS.items() if operator.lower and not domain}

    # CastLike is a Cast by the time that formulas are made.
    assert lowered | {"CastLike"} == {form.op for form in FORMS}
