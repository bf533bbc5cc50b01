"""Matrix products against float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.graph.formula import FormulaBuilder
from alula.engine.kernels.matmul import Batch, MatMul, pack_matmul
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def operands(k: MatMul) -> tuple[Array, Array, Array]:
    """Left side as it lies in memory, right side and bias; one matrix a side where the batch repeats it."""
    random = np.random.default_rng(3)
    turned = k.a_strides[0] == 1 and k.a_strides[1] > 1
    a_shape = (k.inner, k.rows) if turned else (k.rows, k.inner)
    shapes = (
        (k.batch.count if k.batch.a else 1, *a_shape),
        (k.batch.count if k.batch.b else 1, k.inner, k.columns),
        (k.columns,),
    )
    a, b, bias = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return a, b, bias


def reference(k: MatMul, a: Array, b: Array, bias: Array) -> Array:
    """The definition."""
    left = a.astype(float)
    if a.shape[1:] != (k.rows, k.inner) or k.a_strides[1] > 1:
        left = left.swapaxes(1, 2)
    product = left @ b.astype(float) + bias
    return np.broadcast_to(product, (k.batch.count, k.rows, k.columns))


def run(k: MatMul, arrays: tuple[Array, Array, Array], *extras: Array, pieces: int = 3) -> Array:
    """The kernel's result."""
    a, b, bias = arrays
    got = np.full((k.batch.count, k.rows, k.columns), np.nan, np.float32)
    packed = pack_matmul(b[0] if k.packed else None, bias, k.columns, k.target)
    inputs = [a, *([] if k.packed else [b]), *extras, packed]
    run_kernel(k, k.target, inputs, [got], pieces=pieces)
    return got


@st.composite
def kernels(draw: st.DrawFn) -> MatMul:
    """Any shape, packed or not, the left side turned or not, batches on either side."""
    rows, inner = draw(st.sampled_from([1, 2, 3, 7, 13, 30])), draw(st.sampled_from([1, 2, 3, 4, 17, 64]))
    columns = draw(st.sampled_from([1, 3, 16, 17, 40, 64, 100]))
    packed = draw(st.booleans())
    count = draw(st.sampled_from([1, 1, 2, 3]))
    stack_a = count > 1 and draw(st.booleans())
    stack_b = count > 1 and not packed and (not stack_a or draw(st.booleans()))
    return MatMul(
        rows=rows,
        inner=inner,
        columns=columns,
        target=draw(st.sampled_from(targets_here())),
        packed=packed,
        a_strides=(1, rows) if draw(st.booleans()) else (inner, 1),
        batch=Batch(count, rows * inner * stack_a, inner * columns * stack_b),
        split=draw(st.sampled_from(["rows", "columns"])),
    )


@settings(max_examples=60, deadline=None)
@given(kernels(), st.integers(1, 4))
def test_any_product_agrees_with_the_definition(kernel: MatMul, pieces: int) -> None:
    """Rule: tails of rows, columns and sums, turned sides, batches and any sharing give the matrix product."""
    arrays = operands(kernel)

    got = run(kernel, arrays, pieces=pieces)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("packed", [True, False])
def test_the_epilogue_sees_the_sum_and_the_extra_tensors(target: Target, *, packed: bool) -> None:
    """Rule: register 0 is the sum with its bias, register 1 the first extra tensor, read with its own tail."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.add(b.clamp(total, 0.0, 6.0), b.mul(extra, 3.0))
    kernel = MatMul(9, 21, 37, target, packed, (21, 1), Batch(2, 9 * 21, 0), "rows", b.build(), 1)
    arrays = operands(kernel)
    extra_array = np.random.default_rng(5).standard_normal((2, 9, 37)).astype(np.float32)

    got = run(kernel, arrays, extra_array)

    np.testing.assert_allclose(got, reference(kernel, *arrays).clip(0, 6) + 3 * extra_array, rtol=1e-5, atol=1e-4)


@ON_ALL
def test_a_row_times_many_columns_reads_no_further_than_its_weights(target: Target) -> None:
    """Rule: the weights of a fully connected layer are fetched ahead, beyond their end too, without a fault."""
    kernel = MatMul(1, 130, 1000, target, a_strides=(130, 1))
    arrays = operands(kernel)

    got = run(kernel, arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("columns", [37, 64])
def test_a_dear_epilogue_gives_the_same(columns: int, target: Target) -> None:
    """Rule: a formula too long for the registers beside the tile sees the same numbers, tails included."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.mul(extra, b.div(1.0, b.add(1.0, b.exp(b.neg(total)))))
    kernel = MatMul(9, 21, columns, target, True, (21, 1), Batch(2, 9 * 21, 0), "rows", b.build(), 1)  # noqa: FBT003
    arrays = operands(kernel)
    extra_array = np.random.default_rng(5).standard_normal((2, 9, columns)).astype(np.float32)

    got = run(kernel, arrays, extra_array)

    np.testing.assert_allclose(got, extra_array / (1 + np.exp(-reference(kernel, *arrays))), rtol=1e-4, atol=1e-6)


@ON_ALL
def test_how_the_work_is_shared_changes_no_bit(target: Target) -> None:
    """Rule: one plan gives the same bits with any number of workers."""
    kernel = MatMul(11, 50, 100, target, a_strides=(50, 1))
    arrays = operands(kernel)

    results = [run(variant, arrays, pieces=n) for variant in (kernel, replace(kernel, split="rows")) for n in (1, 4)]

    assert all(result.tobytes() == results[0].tobytes() for result in results)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    assert undefined_symbols(MatMul(11, 50, 100, target, a_strides=(50, 1)), target) == set()
