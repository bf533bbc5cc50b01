"""Runs a model in stages: a compiled part, the nodes that only the host can run, then what their sizes were needed for.

In: a cut graph and values by name. Out: values by name: arrays, tensors over a plan's memory, lists, None.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from alula.base.tensors import Tensor
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.nested import Limits
from alula.engine.sessions.plans import PlanPool
from alula.engine.sessions.staging import WORTH_A_PLAN, Stage, cut, look_ahead, prepare, with_inputs, work_of
from alula.engine.sessions.values import as_array, as_tensor

_Key = tuple[tuple[str, tuple[int, ...]] | None, ...]


class StageRunner:
    """One stage and, by the shapes that came out of it, those that follow; owned by one session.

    Plans are open in the session's pool; of the stages that follow, as many are kept as plans are.
    """

    def __init__(self, stage: Stage, pool: PlanPool) -> None:
        self.stage = stage
        self._pool = pool
        self._following: OrderedDict[_Key, StageRunner] = OrderedDict()
        native = stage.native
        self._before, self._behind = look_ahead(stage.rest) if stage.rest is not None else (None, None)
        self._plan = pool.place_of(native) if native is not None and work_of(native) >= WORTH_A_PLAN else None

    @property
    def step_counts(self) -> tuple[int, int]:
        """Native steps of the plans that are open, and nodes and steps that the host runs, of all stages so far."""
        native, host = self._pool.step_counts(self._plan) if self._plan is not None else (0, 0)
        by_reference = [self.stage.hosted, self._before, self.stage.native if self._plan is None else None]
        host += sum(len(graph.nodes) for graph in by_reference if graph is not None)
        behind = [following.step_counts for following in self._following.values()]
        return native + sum(counts[0] for counts in behind), host + sum(counts[1] for counts in behind)

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that the stage and those behind it make of the values: outputs of the model among them."""
        known = dict(values)
        if self.stage.native is not None:
            known.update(self._run_native(self.stage.native, known))
        if self.stage.hosted is not None:
            known.update(self._evaluate(self.stage.hosted, known))
        if self._before is not None:
            known.update(self._evaluate(self._before, known))
        if self._behind is not None:
            known.update(self._run_behind(self._behind, known))
        return known

    def _run_native(self, native: Graph, known: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._plan is None:
            return self._evaluate(native, known)
        session = self._pool.get(self._plan, native, self._pool.part_options)
        return session.run({value.name: _tensor(known[value.name]) for value in native.inputs})

    def _evaluate(self, graph: Graph, known: Mapping[str, Any]) -> Mapping[str, Any]:
        """A part by its references."""
        feeds = {value.name: _plain(known[value.name]) for value in graph.inputs}
        return evaluate_graph(graph, feeds, limits=Limits(self._pool.settings.loop_limit))

    def _run_behind(self, rest: Graph, known: Mapping[str, Any]) -> Mapping[str, Any]:
        feeds = {value.name: _plain(known[value.name]) for value in rest.inputs}
        key = tuple(_form(value) for value in feeds.values())
        following = self._following.get(key)
        if following is None:
            described = {name: _described(name, value, rest) for name, value in feeds.items()}
            following = StageRunner(cut(prepare(with_inputs(rest, described), {})), self._pool)
            self._following[key] = following
            if len(self._following) > self._pool.settings.plans:
                self._following.popitem(last=False)
        self._following.move_to_end(key)
        results = following.run(feeds)
        return {name: results[name] for name in rest.outputs}


def _plain(value: Any) -> Any:  # noqa: ANN401  arrays, lists, None
    """The value as references take it."""
    return as_array(value) if isinstance(value, Tensor) else value


def _tensor(value: Any) -> Tensor:  # noqa: ANN401  arrays or tensors
    """The value as plans take it."""
    return value if isinstance(value, Tensor) else as_tensor(value)


def _form(value: Any) -> tuple[str, tuple[int, ...]] | None:  # noqa: ANN401  arrays, lists, None
    """What stages are told apart by: dtype and shape; None for what is no array."""
    return (value.dtype.name, value.shape) if isinstance(value, np.ndarray) else None


def _described(name: str, value: Any, rest: Graph) -> Value:  # noqa: ANN401  arrays, lists, None
    if isinstance(value, np.ndarray):
        return Value(name, dtype_of(value), value.shape)
    return Value(name, rest.value(name).dtype, None)
