"""Transposed convolutions as phases, against the definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.pass_graphs import GraphBuilder
from support.planned import planned, results_of
from support.plans import RUNNABLE

from alula.engine.kernels.target import Target
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.phases import phases_of, zeros_around
from alula.engine.plan.records import HostStep

AXIS = st.tuples(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 4), st.integers(0, 9)
)


@settings(max_examples=200, deadline=None)
@given(AXIS)
def test_phases_are_the_definition_of_one_axis(axis: tuple[int, ...]) -> None:
    """Rule: y[o] is the sum over k of x[(o + pad - k dilation) / stride] w[k], and zeros_around is all it reads."""
    inputs, kernel, stride, dilation, pad, more = axis
    outputs = max(1, (inputs - 1) * stride + (kernel - 1) * dilation + 1 - pad + more - 4)
    chance = np.random.default_rng(inputs)
    x, w = chance.standard_normal(inputs), chance.standard_normal(kernel)
    phases = phases_of(outputs, kernel, stride, dilation, pad)
    before, after = zeros_around(phases, inputs)
    padded = np.pad(x, (before, after))

    got = np.zeros(outputs)
    for phase in phases:
        for place in range(phase.count):
            reads = [padded[before + phase.read + place + i * phase.dilation] for i in range(len(phase.taps))]
            got[phase.first + place * stride] = sum(r * w[k] for r, k in zip(reads, phase.taps, strict=True))

    want = np.zeros(outputs)
    for i in range(inputs):
        for k in range(kernel):
            if 0 <= i * stride + k * dilation - pad < outputs:
                want[i * stride + k * dilation - pad] += x[i] * w[k]
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda t: t.name)
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "attributes"),
    [
        (20, 9, (2, 2), {"strides": (2, 2)}),
        (5, 33, (4, 4), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
        (16, 16, (3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1)}),
        (6, 8, (3, 5), {"strides": (1, 3), "dilations": (2, 2), "group": 2, "pads": (3, 0, 1, 2)}),
        (24, 24, (4, 4), {"strides": (2, 2), "group": 24, "pads": (1, 1, 1, 1)}),
        (7, 3, (3, 3), {}),
    ],
    ids=str,
)
def test_transposed_convolutions_run_without_the_host(
    channels: int, outputs: int, kernel: tuple[int, int], attributes: dict[str, Any], target: Target,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Rule: strides, dilations, groups, paddings and what follows elementwise change the kernels, not the result."""
    groups = attributes.get("group", 1)
    b = GraphBuilder(shape=(2, channels, 5, 7))
    weights, bias = b.normal(channels, outputs // groups, *kernel), b.normal(outputs)
    y = b.node("ConvTranspose", "x", weights, bias, **attributes)
    scaled = b.node("Mul", b.node("Relu", y), b.node("Sigmoid", y))
    graph = b.build(b.node("Add", scaled, b.node("Relu", y)))
    feeds = {"x": np.random.default_rng(2).standard_normal((2, channels, 5, 7)).astype(np.float32)}

    plan = planned(graph, target)
    found = results_of(plan, tmp_path, feeds, threads=2)

    assert not any(isinstance(step, HostStep) for step in plan.steps)
    for name, array in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(AXIS, AXIS, st.sampled_from(RUNNABLE))
def test_any_geometry_agrees_with_the_reference(
    tmp_path: Path, rows: tuple[int, ...], columns: tuple[int, ...], target: Target
) -> None:
    """Rule: what kernels cannot do goes to the host; the answer is the same."""
    pads = [min(axis[4], axis[0] + axis[1] - 2) for axis in (rows, columns)]
    b = GraphBuilder(shape=(1, 3, rows[0], columns[0]))
    graph = b.build(
        b.node(
            "ConvTranspose", "x", b.normal(3, 4, rows[1], columns[1]), strides=(rows[2], columns[2]),
            dilations=(rows[3], columns[3]), pads=(*(pad // 2 for pad in pads), *(pad - pad // 2 for pad in pads)),
            output_padding=(rows[5] % rows[2], columns[5] % columns[2]),
        )
    )  # fmt: skip
    feeds = {"x": np.random.default_rng(2).standard_normal((1, 3, rows[0], columns[0])).astype(np.float32)}

    found = results_of(planned(graph, target), tmp_path, feeds)

    for name, array in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)
