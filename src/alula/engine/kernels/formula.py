"""Formulas as vector code, for the bodies of loops and the epilogues of kernels.

In: a formula and the vector registers of its inputs. Out: the register of its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, Operand, Register, Step, operand_type
from alula.engine.kernels.casts import cast
from alula.engine.kernels.elements import constant
from alula.engine.kernels.ir import Function, Index
from alula.engine.kernels.steps import emit_bound, emit_primitive

# Arithmetic instructions of each primitive on a machine with multiply-add, one for those that are not listed.
_COST: Mapping[str, int] = MappingProxyType(
    {
        "exp": 16, "log": 28, "tanh": 20, "erf": 22, "div": 4, "rem": 4, "sqrt": 4, "pow": 120,
        "sin": 50, "cos": 50, "tan": 54, "asin": 16, "acos": 18, "atan": 22, "sinh": 36, "cosh": 28,
        "asinh": 70, "acosh": 70, "atanh": 50,
    }
)  # fmt: skip

# More than a product, a sum and two bounds, as of HardSwish, beside another sum and bounds.
_DEAR = 8


def emit_formula(function: Function, formula: Formula, registers: Sequence[str]) -> str:
    """Append the formula's instructions; returns the vector register of the result.

    Args:
        function: where to append, at its present place.
        formula: what to compute.
        registers: one vector register for each input of the formula, of the kind that `elements.register_kind` says.
    """
    values = list(registers)
    for step in formula.steps:
        values.append(_emit_step(function, step, values, formula.register_types))
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


def _emit_step(f: Function, step: Step, values: Sequence[str], types: Sequence[DType]) -> str:
    kind = operand_type(step, types)
    if step.op == "cast":
        return _emit_cast(f, step, values, types)
    if step.op in ("min", "max"):
        (*literals,) = (o for o in step.operands if not isinstance(o, Register))
        if len(literals) == 1:
            x, *_ = (values[o.index] for o in step.operands if isinstance(o, Register))
            return emit_bound(f, step, kind, constant(f, kind, literals[0]), x)
    kinds = [DType.BOOL if step.op == "select" and not i else kind for i in range(len(step.operands))]
    operands = [_read(f, operand, own, values) for operand, own in zip(step.operands, kinds, strict=True)]
    return emit_primitive(f, step.op, kind, operands)


def _read(f: Function, operand: Operand, kind: DType, values: Sequence[str]) -> str:
    return values[operand.index] if isinstance(operand, Register) else constant(f, kind, operand)


def _emit_cast(f: Function, step: Step, values: Sequence[str], types: Sequence[DType]) -> str:
    (operand,), to = step.operands, step.to or DType.FLOAT32
    if isinstance(operand, Register):
        return cast(f, types[operand.index], to, values[operand.index])
    return constant(f, to, operand)
