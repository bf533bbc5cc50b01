"""Optimisers of ai.onnx.preview.training: one step of gradient descent on any number of tensors.

In: the learning rate, the count of steps so far, and tensors by kind (all parameters, all gradients, all states). Out:
all parameters, then all states, after the step.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator

DOMAIN = "ai.onnx.preview.training"
Step = Callable[..., tuple[Array, ...]]


def _adagrad(
    rate: Any, count: Any, x: Array, gradient: Array, squares: Array, **attributes: float
) -> tuple[Array, Array]:
    """Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011."""
    slope = attributes["norm_coefficient"] * x + gradient
    total = squares + slope * slope
    adjusted = rate / (1 + count * attributes["decay_factor"])
    return x - adjusted * slope / (np.sqrt(total) + attributes["epsilon"]), total


def _adam(
    rate: Any, count: Any, x: Array, gradient: Array, momentum: Array, squares: Array, **attributes: float
) -> tuple[Array, Array, Array]:
    """Kingma and Ba, "Adam", 2014, with the correction of the bias folded into the rate."""
    alpha, beta = attributes["alpha"], attributes["beta"]
    slope = attributes["norm_coefficient"] * x + gradient
    mean = alpha * momentum + (1 - alpha) * slope
    power = beta * squares + (1 - beta) * slope * slope
    adjusted = rate * np.sqrt(1 - beta**count) / (1 - alpha**count) if count > 0 else rate
    moved = x - adjusted * mean / (np.sqrt(power) + attributes["epsilon"])
    return (1 - attributes["norm_coefficient_post"]) * moved, mean, power


def _momentum(
    rate: Any, count: Any, x: Array, gradient: Array, velocity: Array, **attributes: Any
) -> tuple[Array, Array]:
    """Gradient descent with momentum, plain or as Nesterov has it (Sutskever et al., 2013)."""
    mode, alpha = attributes["mode"], attributes["alpha"]
    if mode not in ("standard", "nesterov"):
        raise Refusal("mode must be standard or nesterov", f"it is {mode}")
    slope = attributes["norm_coefficient"] * x + gradient
    new = alpha * velocity + (attributes["beta"] if count > 0 else 1) * slope
    return x - rate * (slope + alpha * new if mode == "nesterov" else new), new


def _steps(step: Step, kinds: int) -> Callable[..., tuple[Array, ...]]:
    """The step on each of the parameters; `kinds` tensors belong to one: itself, its gradient, its states."""

    def reference(rate: Array, count: Array, *tensors: Array, **attributes: Any) -> tuple[Array, ...]:
        number = _parameters(len(tensors), kinds)
        results = [step(rate, count, *tensors[first::number], **attributes) for first in range(number)]
        return tuple(
            np.asarray(result[kind], tensors[first].dtype)
            for kind in range(kinds - 1)
            for first, result in enumerate(results)
        )

    return reference


def _parameters(tensors: int, kinds: int) -> int:
    if not tensors or tensors % kinds:
        raise Mismatch(f"needs {kinds} tensors for each parameter", f"there are {tensors}")
    return tensors // kinds


def _infer(kinds: int) -> Callable[[Inference], Inferred]:
    def infer(at: Inference) -> Inferred:
        number = _parameters(len(at.inputs) - 2, kinds)
        return [(at.dtype(2 + first), at.shape(2 + first)) for _ in range(kinds - 1) for first in range(number)]

    return infer


def _optimiser(name: str, step: Step, kinds: int, summary: str, **attributes: Any) -> Operator:
    return Operator(
        name=name, domain=DOMAIN, since=(1,), inputs=("rate", "count", "tensors*"), outputs=("tensors*",),
        attributes=MappingProxyType(attributes), infer=_infer(kinds), reference=_steps(step, kinds), summary=summary,
    )  # fmt: skip


OPERATORS = (
    _optimiser("Adagrad", _adagrad, 3, "A step of Adagrad.", decay_factor=0.0, epsilon=1e-6, norm_coefficient=0.0),
    _optimiser("Adam", _adam, 4, "A step of Adam.", alpha=0.9, beta=0.999, epsilon=1e-6, norm_coefficient=0.0,
               norm_coefficient_post=0.0),
    _optimiser("Momentum", _momentum, 3, "A step of gradient descent with momentum.", alpha=REQUIRED, beta=REQUIRED,
               mode=REQUIRED, norm_coefficient=REQUIRED),
)  # fmt: skip
