"""Formulas as vector code, for the bodies of loops and the epilogues of kernels.

In: a formula and the vector registers of its inputs. Out: the register of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from alula.engine.graph.formula import Formula, Operand, Register, Step
from alula.engine.kernels import maths
from alula.engine.kernels.ir import Function

# Arithmetic instructions of each primitive on a machine with multiply-add, one for those that are not listed.
_COST: Mapping[str, int] = MappingProxyType({"exp": 16, "log": 28, "tanh": 20, "erf": 22, "div": 4, "sqrt": 4})


def emit_formula(function: Function, formula: Formula, registers: Sequence[str]) -> str:
    """Append the formula's instructions; returns the vector register of the result.

    Args:
        function: where to append, at its present place.
        formula: what to compute.
        registers: one vector register for each input of the formula.
    """
    values = list(registers)
    for step in formula.steps:
        values.append(_emit_step(function, step, values))
    return values[-1] if formula.steps else values[0]


def cost(formula: Formula) -> int:
    """Arithmetic operations for one element, roughly."""
    return sum(_COST.get(step.op, 1) for step in formula.steps)


def _emit_step(f: Function, step: Step, values: Sequence[str]) -> str:
    operands = [values[o.index] if isinstance(o, Register) else f.constant(o) for o in step.operands]
    if step.op in _ARITHMETIC:
        # `contract` lets a product and a sum become one multiply-add where the machine has it.
        return f.op(f"{_ARITHMETIC[step.op]} contract {f.vector} {operands[0]}, {operands[1]}")
    if step.op in _EXTREMES:
        return _emit_extreme(f, step, operands)
    if step.op == "neg":
        return f.op(f"fneg {f.vector} {operands[0]}")
    if step.op in _INTRINSICS:
        return f.intrinsic(_INTRINSICS[step.op], operands[0])
    return _FUNCTIONS[step.op](f, operands[0])


def _emit_extreme(f: Function, step: Step, operands: Sequence[str]) -> str:
    """`min` or `max`: against a literal, one instruction, in which a NaN register stays NaN."""
    relation, intrinsic = _EXTREMES[step.op]
    literals: list[Operand] = [o for o in step.operands if not isinstance(o, Register)]
    if len(literals) != 1:
        return f.intrinsic(intrinsic, *operands)
    bound, x = operands if isinstance(step.operands[1], Register) else reversed(operands)
    beyond = f.op(f"fcmp {relation} {f.vector} {bound}, {x}")
    return f.op(f"select <{f.lanes} x i1> {beyond}, {f.vector} {bound}, {f.vector} {x}")


_ARITHMETIC: Mapping[str, str] = MappingProxyType({"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"})
_EXTREMES: Mapping[str, tuple[str, str]] = MappingProxyType({"max": ("ogt", "maximum"), "min": ("olt", "minimum")})
_INTRINSICS: Mapping[str, str] = MappingProxyType({"abs": "fabs", "sqrt": "sqrt", "floor": "floor"})
_FUNCTIONS: Mapping[str, Callable[[Function, str], str]] = MappingProxyType(
    {"exp": maths.exp, "log": maths.log, "tanh": maths.tanh, "erf": maths.erf}
)
