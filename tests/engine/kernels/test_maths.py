"""Vector exp, log, tanh and erf against float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.graph.formula import Formula, Register, Step
from alula.engine.kernels.elementwise import Access, Elementwise
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
INF, NAN = float("inf"), float("nan")


def apply(op: str, x: Array, target: Target) -> Array:
    """Run one primitive over a vector of float32."""
    result = np.empty_like(x)
    kernel = Elementwise(Formula(1, (Step(op, (Register(0),)),)), (x.size,), (Access((1,)),))
    run_kernel(kernel, target, [x], [result])
    return result


def errors_in_ulp(op: Callable[[float], float], x: Array, got: Array) -> Array:
    """Distance from the float64 result in units of the float32 spacing there."""
    want = np.array([op(float(v)) for v in x])
    distance: Array = np.abs(got - want) / np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    return distance


SAMPLES = {
    "exp": np.concatenate([np.linspace(-87.3, 88.72, 60001), np.geomspace(1e-30, 1, 999)]),
    "log": np.concatenate([np.geomspace(1.2e-38, 3.4e38, 40001), np.linspace(0.4, 2.5, 20001)]),
    "tanh": np.concatenate([np.linspace(-10, 10, 40001), np.geomspace(1e-30, 1e-2, 1999)]),
    "erf": np.concatenate([np.linspace(-5, 5, 40001), np.geomspace(1e-30, 1e-2, 1999)]),
}
TRUTH = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "erf": math.erf}
LIMIT_ULP = {"exp": 2.0, "log": 2.0, "tanh": 7.0, "erf": 7.0}


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
@pytest.mark.parametrize("op", sorted(TRUTH))
def test_errors_stay_below_what_the_docstrings_state(op: str, target: Target) -> None:
    """Rule: exp and log within 2 ulp, tanh and erf within 7, on every instruction set."""
    x = SAMPLES[op].astype(np.float32)

    got = apply(op, x, target)

    assert errors_in_ulp(TRUTH[op], x, got).max() <= LIMIT_ULP[op]


# Pairs of an argument and its value; -0.0 and 0.0 are different arguments.
SPECIALS: dict[str, list[tuple[float, float]]] = {
    "exp": [(-INF, 0), (INF, INF), (NAN, NAN), (0, 1), (-0.0, 1), (89, INF), (3e38, INF), (-110, 0), (-3e38, 0)],
    "log": [(-INF, NAN), (INF, INF), (NAN, NAN), (0, -INF), (-0.0, -INF), (1, 0), (-1, NAN), (-1e-30, NAN)],
    "tanh": [(-INF, -1), (INF, 1), (NAN, NAN), (0, 0), (-0.0, -0.0), (9.5, 1), (-9.5, -1), (3e38, 1)],
    "erf": [(-INF, -1), (INF, 1), (NAN, NAN), (0, 0), (-0.0, -0.0), (4.2, 1), (-4.2, -1), (3e38, 1)],
}


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
@pytest.mark.parametrize("op", sorted(SPECIALS))
def test_special_arguments_give_the_limits(op: str, target: Target) -> None:
    """Rule: infinities, zeros, NaN and arguments out of range give what IEEE 754 gives."""
    x, want = np.array(SPECIALS[op], np.float32).T.copy()

    got = apply(op, x, target)

    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
def test_a_nan_of_any_payload_stays_nan(target: Target) -> None:
    """Rule: the exponent arithmetic of exp must not turn a NaN's payload into a number."""
    bits = np.array([0x7FC00001, 0x7F800001, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FC000FF, 0xFF8000AA], np.uint32)

    for op in TRUTH:
        assert np.isnan(apply(op, bits.view(np.float32), target)).all()


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
def test_log_of_a_subnormal_is_finite(target: Target) -> None:
    """Rule: without flush-to-zero, subnormal arguments have their logarithm."""
    x = np.array([1e-39, 1e-42, 1.4e-45], np.float32)

    got = apply("log", x, target)

    np.testing.assert_allclose(got, np.log(x.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
def test_results_never_leave_minus_one_to_one(target: Target) -> None:
    """Rule: tanh and erf are used as gates; a value above 1 would grow along a chain."""
    x = np.linspace(2, 12, 30001).astype(np.float32)

    for op in ("tanh", "erf"):
        assert apply(op, x, target).max() <= 1.0


@pytest.mark.parametrize("op", sorted(TRUTH))
def test_no_function_of_a_library_is_called(op: str) -> None:
    """Rule: a plan runs without libm."""
    kernel = Elementwise(Formula(1, (Step(op, (Register(0),)),)), (100,), (Access((1,)),))

    for target in targets_here():
        assert undefined_symbols(kernel, target) == set()
