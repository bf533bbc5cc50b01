"""The plans that one session has open: found in the cache or compiled into it, the least recently used closed first.

In: where a plan is kept and how to make it. Out: an open `PlanSession`.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from alula.base.errors import MissingError, PlanFileError
from alula.base.settings import Settings
from alula.engine.graph.graph import Graph
from alula.engine.runtime.session import PlanSession, open_plan
from alula.engine.sessions.cache import bound_cache, graph_digest, mark_used, path_of
from alula.engine.sessions.compiler import CompileOptions, choices_of, choose_target, compile_graph
from alula.engine.sessions.host import host_within

# How often a plan is made before one gives up: another process that bounds the cache may remove it at once.
_ATTEMPTS = 2


class PlanPool:
    """Open plans by the files that they come from; owned by one session, at most `settings.plans` at a time."""

    def __init__(self, settings: Settings, options: CompileOptions) -> None:
        self.settings = settings
        self.options = options
        self._open: OrderedDict[Path, PlanSession] = OrderedDict()

    def __len__(self) -> int:
        """How many plans are open."""
        return len(self._open)

    def get(self, kept: Path, graph: Graph, options: CompileOptions) -> PlanSession:
        """The plan that is kept there; compiled from the graph if there is none."""
        session = self._open.get(kept)
        if session is None:
            session = open_kept(kept, lambda: compile_graph(graph, kept, options), self.settings)
            self._open[kept] = session
            if len(self._open) > self.settings.plans:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(kept)
        return session

    def step_counts(self, kept: Path) -> tuple[int, int]:
        """Native steps and host steps of the plan that is kept there; none where it is not open."""
        session = self._open.get(kept)
        return session.step_counts if session is not None else (0, 0)

    def place_of(self, part: Graph) -> Path:
        """Where the plan of a part of a model is kept: its name depends on all that the part computes."""
        target = choose_target(self.options.target)
        return path_of(
            self.settings.cache, part.name or "part", graph_digest(part), target, choices_of(self.part_options)
        )

    @property
    def part_options(self) -> CompileOptions:
        """How parts are compiled: all their shapes are bound."""
        return CompileOptions(
            target=self.options.target,
            disable=self.options.disable,
            check=self.options.check,
            memory_limit=self.options.memory_limit,
            native=self.options.native,
            reuse=self.options.reuse,
            jobs=self.options.jobs,
            kernels=self.options.kernels,
        )

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()


def open_kept(kept: Path, make: Callable[[], object], settings: Settings) -> PlanSession:
    """Open a plan of the cache; where there is none, or a damaged one, it is made.

    Raises:
        MissingError: the cache cannot be written to, or others remove its files as fast as they are made.
    """
    for _ in range(_ATTEMPTS):
        if kept.is_file():
            # What another process has just removed, or a disk has damaged, is made anew.
            with contextlib.suppress(PlanFileError, MissingError):
                session = _opened(kept, settings)
                mark_used(kept)
                return session
        _make(make, settings.cache)
        bound_cache(settings.cache, settings.cache_bytes, kept)
    return _opened(kept, settings)


def _make(make: Callable[[], object], cache: Path) -> None:
    try:
        make()
    except OSError as error:
        found, hint = error.strerror or str(error), "point ALULA_CACHE to a folder that can be written, or make room"
        raise MissingError(f"cache {cache}", "needs a folder for compiled plans", found, hint) from error


def _opened(plan: Path, settings: Settings) -> PlanSession:
    host = host_within(settings.loop_limit)
    return open_plan(plan, threads=settings.threads or None, verify=settings.verify, host=host)
