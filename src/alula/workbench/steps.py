"""How many steps of an opened model run in generated code, and how many through references.

In: a Session that has run. Out: two numbers.
"""

from __future__ import annotations

from alula.base.session import Session
from alula.engine.runtime.session import PlanSession


def count_steps(session: Session) -> tuple[int, int]:
    """Native steps and host steps of the plans that the session holds."""
    if isinstance(session, PlanSession):
        return len(session.info.steps), len(session.info.host_calls)
    return 0, 1
