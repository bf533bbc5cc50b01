"""Formulas put together.

In: a formula, the names of its inputs, and another that makes one of them. Out: one formula over all other names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alula.engine.graph.formula import Formula, FormulaBuilder, Operand, Register


@dataclass(frozen=True)
class Applied:
    """A formula and the values that its input registers stand for."""

    formula: Formula
    names: tuple[str, ...]


def compose(outer: Applied, at: str, inner: Applied) -> Applied:
    """Compute value `at` of `outer` by `inner`; the names of `inner` come first, no name comes twice."""
    names = tuple(dict.fromkeys((*inner.names, *(name for name in outer.names if name != at))))
    types = {
        name: kind for part in (outer, inner) for name, kind in zip(part.names, part.formula.input_types, strict=True)
    }
    builder = FormulaBuilder(len(names), [types[name] for name in names])
    registers = dict(zip(names, builder.arguments(), strict=True))
    made = builder.call(inner.formula, [registers[name] for name in inner.names])
    builder.call(outer.formula, [made if name == at else registers[name] for name in outer.names])
    return Applied(builder.build(), names)


def is_complete(builder: FormulaBuilder, result: Operand | None) -> bool:
    """Whether `result` is what the built formula gives: its last step, or input 0 where there is no step."""
    last = builder.inputs + len(builder.steps) - 1 if builder.steps else 0
    return result == Register(last)


def without_repeats(names: Sequence[str]) -> tuple[str, ...]:
    """Each name once, in order."""
    return tuple(dict.fromkeys(names))
