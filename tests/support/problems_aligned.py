"""Problems of broadcasting from before operator set 7, where the second input stood at an axis of the first.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from support.problem import X4, Problem, problem, reals

PROBLEMS: tuple[Problem, ...] = (
    *(problem(op, X4, reals(4), opset=6, broadcast=1, axis=1, judge="ort") for op in ("Add", "Sub", "Mul", "Div")),
    problem("Add", X4, reals(4, 9), opset=6, broadcast=1, axis=1, judge="ort"),
    problem("Add", X4, reals(9, 8), opset=6, broadcast=1, axis=-2, judge="ort"),
    problem("Add", X4, reals(1), opset=6, broadcast=1, axis=1, judge="ort"),
    problem("PRelu", X4, reals(4), opset=6, judge="ort"),
    problem("PRelu", X4, reals(1), opset=6, judge="ort"),
)
