"""Formulas: straight-line elementwise arithmetic, the body of a loop or the epilogue of a kernel.

In: registers numbered from 0 (the formula's inputs) and literals. Out: `Formula`, one result register; float32.
A formula is data: the planner fuses formulas, kernels emit them as vector code, `evaluate_formula` runs them in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alula.base.errors import InternalError

Primitive = Literal[
    "add", "sub", "mul", "div", "min", "max", "neg", "abs", "sqrt", "exp", "log", "tanh", "erf", "floor",
]  # fmt: skip
UNARY: frozenset[str] = frozenset({"neg", "abs", "sqrt", "exp", "log", "tanh", "erf", "floor"})
BINARY: frozenset[str] = frozenset({"add", "sub", "mul", "div", "min", "max"})


@dataclass(frozen=True)
class Register:
    """The value of input `index`, or of step `index - inputs`."""

    index: int

    def __str__(self) -> str:
        """For example `r3`."""
        return f"r{self.index}"


Operand = Register | float


@dataclass(frozen=True)
class Step:
    """One primitive over registers and literals. NaN in a register operand of min or max gives NaN."""

    op: str
    operands: tuple[Operand, ...]

    def __str__(self) -> str:
        """For example `mul(r0, 0.5)`."""
        return f"{self.op}({', '.join(map(str, self.operands))})"


@dataclass(frozen=True)
class Formula:
    """`steps` over `inputs` registers; the result is that of the last step, or input 0 where there is no step."""

    inputs: int
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        """One line: `r1 = mul(r0, 0.5); r2 = add(r1, r0)`."""
        return "; ".join(f"r{self.inputs + i} = {step}" for i, step in enumerate(self.steps)) or "r0"


class FormulaBuilder:
    """Collects steps; what an operator's `lower` is called with."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.steps: list[Step] = []

    def arguments(self) -> tuple[Register, ...]:
        """The input registers."""
        return tuple(Register(index) for index in range(self.inputs))

    def emit(self, op: str, *operands: Operand) -> Register:
        """Append a primitive and return its register.

        Raises:
            InternalError: there is no such primitive, or it takes another number of operands.
        """
        arity = 1 if op in UNARY else 2 if op in BINARY else 0
        if arity != len(operands):
            need = f"takes {arity} operands" if arity else "is to be a primitive"
            raise InternalError(f"formula step {op}", need, f"got {len(operands)} operands")
        self.steps.append(Step(op, operands))
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

    def call(self, inner: Formula, arguments: Sequence[Operand]) -> Operand:
        """Append all steps of another formula; returns its result.

        Raises:
            InternalError: the formula takes another number of arguments.
        """
        if len(arguments) != inner.inputs:
            raise InternalError(f"formula {inner}", f"takes {inner.inputs} arguments", f"got {len(arguments)}")
        registers: list[Operand] = list(arguments)
        for step in inner.steps:
            operands = tuple(registers[o.index] if isinstance(o, Register) else o for o in step.operands)
            registers.append(self.emit(step.op, *operands))
        return registers[-1] if inner.steps else registers[0]

    def build(self) -> Formula:
        """The formula so far."""
        return Formula(self.inputs, tuple(self.steps))


IDENTITY = Formula(1)
