"""How many steps of an opened model run in generated code, and how many through references.

In: a Session that has run. Out: two numbers.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from alula.base.session import Session


@runtime_checkable
class Counted(Protocol):
    """A session that knows its steps: all of alula's own."""

    @property
    def step_counts(self) -> tuple[int, int]:
        """Native steps and host steps."""
        ...


def count_steps(session: Session) -> tuple[int, int]:
    """Native steps and host steps of what the session has run; none where an outside library computes."""
    return session.step_counts if isinstance(session, Counted) else (0, 0)
