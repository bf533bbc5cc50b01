"""Results as JSON text.

In: plain values. Out: one line that every JSON reader takes: RFC 8259 knows no NaN and no infinity, they become null.
"""

from __future__ import annotations

import json
import math
from typing import Any


def as_json(value: Any, indent: int | None = None) -> str:  # noqa: ANN401  what JSON can hold
    """The value as JSON."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:  # noqa: ANN401  what JSON can hold
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
