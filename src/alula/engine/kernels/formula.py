"""Formulas as vector code, for the bodies of loops and the epilogues of kernels.

In: a formula and the vector registers of its inputs. Out: the register of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from alula.engine.graph.formula import Formula, Operand, Register, Step
from alula.engine.kernels import maths
from alula.engine.kernels.ir import Function, Index

# Arithmetic instructions of each primitive on a machine with multiply-add, one for those that are not listed.
_COST: Mapping[str, int] = MappingProxyType({"exp": 16, "log": 28, "tanh": 20, "erf": 22, "div": 4, "sqrt": 4})


# More than a product, a sum and two bounds, as of HardSwish, beside another sum and bounds.
_DEAR = 8


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


def emit_rows(function: Function, formula: Formula, count: Index, output: str, extras: Sequence[str] = ()) -> None:
    """Append a loop that applies the formula to `count` whole registers in memory, in place.

    The second half of a kernel whose formula is dear: emitted on every sum of a register tile it would need more
    registers than there are, and many times the code.

    Args:
        function: where to append.
        formula: register 0 is the element of `output`, the others those of `extras`.
        count: how many registers; they follow each other.
        output: pointer to the first.
        extras: pointers to the first element of the other tensors.
    """

    def body(index: Index, _: list[str]) -> list[str]:
        place = function.mul(index, function.lanes)
        registers = [function.load(pointer, place) for pointer in (output, *extras)]
        function.store(emit_formula(function, formula, registers), output, place)
        return []

    function.loop(0, count, 1, body)


def is_dear(formula: Formula) -> bool:
    """Whether a kernel does better to apply the formula with `emit_rows` than on its register tile."""
    return cost(formula) > _DEAR


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
