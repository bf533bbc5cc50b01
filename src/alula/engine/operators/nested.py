"""Graphs inside nodes: how they are run and inferred, and how much of it one run may do.

In: limits, and a function that runs a graph. Out: `GraphRunner`, handed to the references of nested operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alula.engine.graph.graph import Graph
from alula.engine.operators.common import Excess

RunGraph = Callable[[Graph, Mapping[str, Any], "GraphRunner"], dict[str, Any]]


@dataclass(frozen=True)
class Limits:
    """What a run may do before it is given up, so that no model file can keep a process busy for ever.

    Attributes:
        trips: passes through the bodies of all loops of one run together.
        nesting: graphs inside graphs.
    """

    trips: int = 1_000_000
    nesting: int = 16


class GraphRunner:
    """Runs the graphs that nodes hold; owned by one run of one model, and counts what its limits are about."""

    def __init__(self, run: RunGraph, limits: Limits) -> None:
        self.limits = limits
        self._run = run
        self._depth = 0
        self._trips = 0

    def __call__(self, graph: Graph, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Run a nested graph once.

        Args:
            graph: self-contained: captured values stand among its inputs.
            feeds: a value for each of its inputs: arrays, lists of arrays for sequences, None for absent optionals.

        Returns:
            Its outputs by name.

        Raises:
            Excess: graphs are nested too deep.
            AlulaError: what its nodes raise.
        """
        if self._depth >= self.limits.nesting:
            raise Excess(f"graphs may be nested {self.limits.nesting} deep", "this one is deeper")
        self._depth += 1
        try:
            return self._run(graph, feeds, self)
        finally:
            self._depth -= 1

    def count_trip(self) -> None:
        """Note that the body of a loop is about to run.

        Raises:
            Excess: the loops of this run have used up their trips.
        """
        self._trips += 1
        if self._trips > self.limits.trips:
            raise Excess(
                f"loops of one run may make {self.limits.trips} trips in all",
                "there are more; ALULA_LOOP_LIMIT sets the number",
            )
