"""An Elementwise written into a sketch: formulas over values, scalar constants as literals.

In: names of values, and a function that writes the formula. Out: the name of the new value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder, Operand
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.passes.sketch import Sketch

# Writes steps and returns the last of them; operands come in the order of the names.
WriteFormula = Callable[[FormulaBuilder, Sequence["Operand | None"]], object]


def elementwise(sketch: Sketch, operands: Sequence[str], shape: Sequence[int], write: WriteFormula) -> str:
    """A new Elementwise of the type that its formula has.

    Args:
        sketch: the nodes to come.
        operands: names of values, one at least no constant; empty for those that are left out, which come as None.
        shape: of the result.
        write: the formula. Constants of one element come to it as literals.
    """
    literals = {name: literal_of(sketch.array(name)) for name in operands if name}
    names = tuple(dict.fromkeys(name for name in operands if name and literals[name] is None))
    types = [sketch.dtype(name) for name in names]
    builder = FormulaBuilder(len(names), types)
    registers = dict(zip(names, builder.arguments(), strict=True))
    write(builder, [_operand(name, literals, registers) for name in operands])
    formula: Formula = builder.build()
    return sketch.node("Elementwise", names, shape, INTERNAL, formula.result_type, formula=formula)


def _operand(name: str, literals: Mapping[str, float | None], registers: Mapping[str, Operand]) -> Operand | None:
    if not name:
        return None
    literal = literals[name]
    return registers[name] if literal is None else literal


def literal_of(array: Array | None) -> float | None:
    """The number in an array of one element; None for others, and for NaN, which equals nothing."""
    if array is None or array.size != 1:
        return None
    number = float(array.reshape(-1)[0])
    return None if math.isnan(number) else number


def as_single(b: FormulaBuilder, operand: Operand) -> Operand:
    """The operand in float32; literals as they are."""
    if not isinstance(operand, float | int) and b.type_of(operand) is not DType.FLOAT32:
        return b.cast(operand, DType.FLOAT32)
    return operand
