"""Formulas: straight-line elementwise arithmetic, the body of a loop or the epilogue of a kernel.

In: typed registers numbered from 0 (the formula's inputs) and literals. Out: `Formula`, one result register.
A formula is data: the planner fuses formulas, kernels emit them as vector code, `evaluate_formula` runs them in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from alula.base.errors import InternalError
from alula.base.tensors import DType
from alula.engine.graph.primitives import (
    FORMULA_TYPES,
    PRIMITIVES,
    Inexpressible,
    bounds_of,
    common_type,
    literal_of,
    result_type,
)


@dataclass(frozen=True)
class Register:
    """The value of input `index`, or of step `index - inputs`."""

    index: int

    def __str__(self) -> str:
        """For example `r3`."""
        return f"r{self.index}"


# Literals are floats, ints or bools, as their type has them.
Operand = Register | float


@dataclass(frozen=True)
class Step:
    """One primitive over registers and literals, which take the type of the registers; `to` names a cast's result.

    A step over literals alone is of float32, a cast of one is a constant of the type it names.
    """

    op: str
    operands: tuple[Operand, ...]
    to: DType | None = None

    def __str__(self) -> str:
        """For example `mul(r0, 0.5)` or `cast(r0, int8)`."""
        named = [] if self.to is None else [str(self.to)]
        return f"{self.op}({', '.join([*map(str, self.operands), *named])})"


@dataclass(frozen=True)
class Formula:
    """`steps` over `inputs` registers; the result is that of the last step, or input 0 where there is no step.

    Registers have element types: those of the inputs are `types`, where empty stands for float32 everywhere, and those
    of the steps follow. Registers of float16 and bfloat16 hold float32 numbers; they are rounded where they are stored
    and by a cast to their type.
    """

    inputs: int
    steps: tuple[Step, ...] = ()
    types: tuple[DType, ...] = ()

    def __str__(self) -> str:
        """One line: `r1 = mul(r0, 0.5); r2 = add(r1, r0)`, before it the types where they are not all float32."""
        typed = "".join(f"r{i}: {kind}; " for i, kind in enumerate(self.types))
        steps = "; ".join(f"r{self.inputs + i} = {step}" for i, step in enumerate(self.steps))
        return f"{typed}{steps or 'r0'}"

    @property
    def input_types(self) -> tuple[DType, ...]:
        """The type of each input."""
        return self.types or (DType.FLOAT32,) * self.inputs

    @cached_property
    def register_types(self) -> tuple[DType, ...]:
        """The type of each register, inputs first.

        Raises:
            InternalError: a step's operands differ in type.
            Inexpressible: a step's primitive does not work on its type.
        """
        types = list(self.input_types)
        for step in self.steps:
            types.append(_type_of_step(step.op, step.operands, types, step.to))
        return tuple(types)

    @property
    def result_type(self) -> DType:
        """The type of the result; float32 for a formula of nothing."""
        types = self.register_types
        return types[-1] if self.steps else types[0] if types else DType.FLOAT32

    @property
    def is_single(self) -> bool:
        """Whether inputs and result are float32, so that a kernel of float32 may take it as its epilogue."""
        return not self.types and self.result_type is DType.FLOAT32


def operand_type(step: Step, types: Sequence[DType]) -> DType:
    """The common type of a step's operands, of `select` that of the last two.

    Args:
        step: of a formula.
        types: of the formula's registers.

    Raises:
        InternalError: they differ.
    """
    return _operand_type(step.op, step.operands, types)


def _operand_type(op: str, operands: Sequence[Operand], types: Sequence[DType]) -> DType:
    known = [types[o.index] if isinstance(o, Register) else None for o in operands]
    kind = common_type(op, known, DType.FLOAT32)
    if kind is None:
        found = " and ".join("a literal" if one is None else str(one) for one in known)
        raise InternalError(f"formula step {op}", "needs operands of one type", f"got {found}")
    return kind


def _type_of_step(op: str, operands: Sequence[Operand], types: Sequence[DType], to: DType | None) -> DType:
    return result_type(op, _operand_type(op, operands, types), to)


class FormulaBuilder:
    """Collects steps; what an operator's `lower` is called with.

    Args:
        inputs: how many there are.
        types: their types; empty for float32.
        literals: the type of what is computed from literals alone, and of literals that a register is made of.
    """

    def __init__(self, inputs: int, types: Sequence[DType] = (), literals: DType = DType.FLOAT32) -> None:
        self.inputs = inputs
        self.steps: list[Step] = []
        self.literals = literals
        self._types = list(types) or [DType.FLOAT32] * inputs

    def arguments(self) -> tuple[Register, ...]:
        """The input registers."""
        return tuple(Register(index) for index in range(self.inputs))

    def type_of(self, operand: Operand) -> DType:
        """The type of a register, or the one that literals are given."""
        return self._types[operand.index] if isinstance(operand, Register) else self.literals

    def emit(self, op: str, *operands: Operand, to: DType | None = None) -> Register:
        """Append a primitive and return its register.

        Raises:
            InternalError: there is no such primitive, it takes another number of operands, or their types differ.
            Inexpressible: it does not work on operands of their type, or their type lacks a literal.
        """
        arity = PRIMITIVES[op].operands if op in PRIMITIVES else 0
        if arity != len(operands) or (to is None) == (op == "cast"):
            need = f"takes {arity} operands" if arity else "is to be a primitive"
            raise InternalError(f"formula step {op}", need, f"got {len(operands)} operands")
        if op == "cast" and not isinstance(operands[0], Register):
            return self._append(Step(op, (literal_of(operands[0], to or self.literals),), to), to or self.literals)
        operands = self._typed(operands)
        kind = _operand_type(op, operands, self._types)
        result = result_type(op, kind, to)
        kinds = [DType.BOOL if op == "select" and not i else kind for i in range(arity)]
        pairs = zip(operands, kinds, strict=True)
        step = Step(op, tuple(o if isinstance(o, Register) else literal_of(o, k) for o, k in pairs), to)
        return self._append(step, result)

    def _typed(self, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        """Make the last literal a register, where literals alone would be taken for float32."""
        last = operands[-1]
        if self.literals is DType.FLOAT32 or any(isinstance(o, Register) for o in operands[-2:]):
            return operands
        return (*operands[:-1], self.cast(last, self.literals))

    def _append(self, step: Step, kind: DType) -> Register:
        self.steps.append(step)
        self._types.append(kind)
        return Register(self.inputs + len(self.steps) - 1)

    def add(self, a: Operand, b: Operand) -> Register:
        """a + b."""
        return self.emit("add", a, b)

    def sub(self, a: Operand, b: Operand) -> Register:
        """a - b."""
        return self.emit("sub", a, b)

    def mul(self, a: Operand, b: Operand) -> Register:
        """a * b."""
        return self.emit("mul", a, b)

    def div(self, a: Operand, b: Operand) -> Register:
        """a / b."""
        return self.emit("div", a, b)

    def min(self, a: Operand, b: Operand) -> Register:
        """The smaller; NaN wins."""
        return self.emit("min", a, b)

    def max(self, a: Operand, b: Operand) -> Register:
        """The larger; NaN wins."""
        return self.emit("max", a, b)

    def clamp(self, x: Operand, low: float, high: float) -> Register:
        """X kept inside [low, high]."""
        return self.min(self.max(x, low), high)

    def neg(self, x: Operand) -> Register:
        """-x."""
        return self.emit("neg", x)

    def abs(self, x: Operand) -> Register:
        """|x|."""
        return self.emit("abs", x)

    def sqrt(self, x: Operand) -> Register:
        """Square root."""
        return self.emit("sqrt", x)

    def exp(self, x: Operand) -> Register:
        """e to the x."""
        return self.emit("exp", x)

    def log(self, x: Operand) -> Register:
        """Natural logarithm."""
        return self.emit("log", x)

    def tanh(self, x: Operand) -> Register:
        """Hyperbolic tangent."""
        return self.emit("tanh", x)

    def erf(self, x: Operand) -> Register:
        """Error function."""
        return self.emit("erf", x)

    def floor(self, x: Operand) -> Register:
        """Round down."""
        return self.emit("floor", x)

    def ceil(self, x: Operand) -> Register:
        """Round up."""
        return self.emit("ceil", x)

    def trunc(self, x: Operand) -> Register:
        """Round towards zero."""
        return self.emit("trunc", x)

    def round(self, x: Operand) -> Register:
        """Round to the nearest, ties to even."""
        return self.emit("round", x)

    def pow(self, x: Operand, y: Operand) -> Register:
        """X to the y."""
        return self.emit("pow", x, y)

    def rem(self, a: Operand, b: Operand) -> Register:
        """What integer division leaves, with the sign of a."""
        return self.emit("rem", a, b)

    def eq(self, a: Operand, b: Operand) -> Register:
        """a == b, a bool."""
        return self.emit("eq", a, b)

    def lt(self, a: Operand, b: Operand) -> Register:
        """a < b, a bool."""
        return self.emit("lt", a, b)

    def le(self, a: Operand, b: Operand) -> Register:
        """a <= b, a bool."""
        return self.emit("le", a, b)

    def is_nan(self, x: Operand) -> Register:
        """Whether x is no number, a bool."""
        return self.emit("is_nan", x)

    def both(self, a: Operand, b: Operand) -> Register:
        """`and`, bit by bit."""
        return self.emit("and", a, b)

    def either(self, a: Operand, b: Operand) -> Register:
        """`or`, bit by bit."""
        return self.emit("or", a, b)

    def differ(self, a: Operand, b: Operand) -> Register:
        """`xor`, bit by bit."""
        return self.emit("xor", a, b)

    def invert(self, x: Operand) -> Register:
        """`not`, bit by bit."""
        return self.emit("not", x)

    def shl(self, a: Operand, b: Operand) -> Register:
        """A shifted to the left by b."""
        return self.emit("shl", a, b)

    def shr(self, a: Operand, b: Operand) -> Register:
        """A shifted to the right by b, the sign kept."""
        return self.emit("shr", a, b)

    def select(self, condition: Operand, yes: Operand, no: Operand) -> Register:
        """`yes` where the bool holds, else `no`."""
        return self.emit("select", condition, yes, no)

    def cast(self, x: Operand, to: DType) -> Register:
        """X in another type; a literal becomes a register of it."""
        return self.emit("cast", x, to=to)

    def saturate(self, x: Operand, to: DType) -> Register:
        """A real register kept inside what an integer type of at most 16 bits holds, then cast to it; NaN gives 0.

        Raises:
            Inexpressible: float32 lacks one of the bounds.
        """
        if to.itemsize > 2:  # noqa: PLR2004  bytes
            raise Inexpressible(f"bounds of {to} in {self.type_of(x)}")
        low, high = bounds_of(to)
        return self.cast(self.clamp(x, float(low), float(high)), to)

    def call(self, inner: Formula, arguments: Sequence[Operand]) -> Operand:
        """Append all steps of another formula; returns its result.

        Raises:
            InternalError: the formula takes another number of arguments.
        """
        if len(arguments) != inner.inputs:
            raise InternalError(f"formula {inner}", f"takes {inner.inputs} arguments", f"got {len(arguments)}")
        registers = [self._argument(*pair) for pair in zip(arguments, inner.input_types, strict=True)]
        for step in inner.steps:
            operands = tuple(registers[o.index] if isinstance(o, Register) else o for o in step.operands)
            registers.append(self.emit(step.op, *operands, to=step.to))
        return registers[-1] if inner.steps else registers[0]

    def _argument(self, argument: Operand, kind: DType) -> Operand:
        """A literal of float32 as it is, of other types in a register, so that its type is not lost."""
        if isinstance(argument, Register) or kind is DType.FLOAT32:
            return argument
        return self.cast(argument, kind)

    def build(self) -> Formula:
        """The formula so far."""
        types = tuple(self._types[: self.inputs])
        plain = all(kind is DType.FLOAT32 for kind in types)
        return Formula(self.inputs, tuple(self.steps), () if plain else types)


IDENTITY = Formula(1)

__all__ = [
    "FORMULA_TYPES", "IDENTITY", "PRIMITIVES", "Formula", "FormulaBuilder", "Inexpressible", "Operand", "Register",
    "Step", "operand_type",
]  # fmt: skip
