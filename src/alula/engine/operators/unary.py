"""Elementwise operators of one input.

In: a reference and a formula of one operand. Out: the record, which keeps shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from alula.engine.operators.common import same_as
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Lower, Operator


def unary(
    name: str, since: tuple[int, ...], reference: Callable[..., Any], lower: Lower, summary: str, **more: Any
) -> Operator:
    """A record with input `x`; `more` are further fields of it, `attributes` as a plain dictionary."""
    attributes = MappingProxyType(more.pop("attributes", {}))
    fields = {"infer": same_as(), "attributes": attributes, **more}
    return Operator(
        name=name, since=since, inputs=("x",), reference=in_float32(reference), lower=lower, summary=summary, **fields
    )
