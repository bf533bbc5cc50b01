"""Formulas in numpy, the truth that emitted code is compared with.

In: a formula and arrays. Out: an array of float64 results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alula.engine.graph.formula import Formula, Register

Array = np.ndarray[Any, Any]

_PRIMITIVES: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "min": np.minimum, "max": np.maximum,
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[np.float64]), "floor": np.floor,
}  # fmt: skip


def numpy_formula(formula: Formula, inputs: Sequence[Array]) -> Array:
    """The formula in float64, broadcast as numpy does."""
    registers = [np.asarray(x, np.float64) for x in inputs]
    with np.errstate(all="ignore"):
        for step in formula.steps:
            operands = [registers[o.index] if isinstance(o, Register) else o for o in step.operands]
            registers.append(np.asarray(_PRIMITIVES[step.op](*operands)))
    return registers[-1]
