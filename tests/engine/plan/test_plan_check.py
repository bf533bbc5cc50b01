from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from support.convnets import ConvNet, conv_nets
from support.pass_graphs import GraphBuilder
from support.planned import planned

from alula.base.errors import InternalError
from alula.engine.graph.graph import Graph
from alula.engine.plan.check import check_plan
from alula.engine.plan.records import NativeStep, Operand, PlacedTensor, Plan


def chain() -> Plan:
    """Six convolutions, the sum of the first and the last, and a host step."""
    b = GraphBuilder(shape=(1, 16, 8, 8))
    first = x = b.conv("x", 16, 16)
    for _ in range(5):
        x = b.conv(x, 16, 16)
    b.node("Resize", b.node("Add", b.node("MaxPool", x, kernel_shape=(1, 1)), first), "", b.constant([1, 1, 2, 2]))
    return planned(b.build())


def _moved(plan: Plan, name: str, offset: int) -> Plan:
    """The plan with a value somewhere else, consistently in all steps."""
    old = plan.places[name].operand

    def operand(one: Operand) -> Operand:
        return Operand("arena", offset) if one == old else one

    def tensor(one: PlacedTensor | None) -> PlacedTensor | None:
        return one and replace(one, operand=operand(one.operand))

    steps = tuple(
        replace(step, operands=tuple(map(operand, step.operands)))
        if isinstance(step, NativeStep)
        else replace(step, inputs=tuple(map(tensor, step.inputs)))
        for step in plan.steps
    )
    places = {key: replace(value, operand=operand(value.operand)) for key, value in plan.places.items()}
    return replace(plan, steps=steps, places=places)


def _overlapping(plan: Plan) -> Plan:
    """The first convolution's result, needed until the end, where the third's is made."""
    return _moved(plan, "v0", plan.places["v2"].operand.index)


def _half_overlapping(plan: Plan) -> Plan:
    return _moved(plan, "v0", plan.places["v2"].operand.index + 512)


def _behind_the_end(plan: Plan) -> Plan:
    return _moved(plan, "v0", plan.arena_bytes - 64)


def _arena_too_small(plan: Plan) -> Plan:
    return replace(plan, arena_bytes=plan.arena_bytes // 2)


def _unknown_weights(plan: Plan) -> Plan:
    return replace(plan, weights=plan.weights[:1])


def _unknown_input(plan: Plan) -> Plan:
    return replace(plan, inputs=())


def _steps_swapped(plan: Plan) -> Plan:
    first, second, *rest = plan.steps
    return replace(plan, steps=(second, first, *rest))


def _step_left_out(plan: Plan) -> Plan:
    return replace(plan, steps=plan.steps[:-1])


def _pointer_astray(plan: Plan) -> Plan:
    """A kernel is handed memory of a value that its step does not name."""
    step = plan.steps[-2]
    assert isinstance(step, NativeStep)
    wrong = replace(step, operands=(Operand("arena", plan.places["v0"].operand.index + 64), *step.operands[1:]))
    return replace(plan, steps=(*plan.steps[:-2], wrong, plan.steps[-1]))


def _not_placed(plan: Plan) -> Plan:
    return replace(plan, places={name: place for name, place in plan.places.items() if name != "v0"})


DAMAGES = (_overlapping, _half_overlapping, _behind_the_end, _arena_too_small, _unknown_weights, _unknown_input,
           _steps_swapped, _step_left_out, _pointer_astray, _not_placed)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_plan_is_found(damage: Callable[[Plan], Plan]) -> None:
    """Every way in which a planner can go wrong must end in a message, not in wrong numbers."""
    plan = chain()
    check_plan(plan)

    with pytest.raises(InternalError, match="plan model"):
        check_plan(damage(plan))


@settings(max_examples=60, deadline=None)
@given(conv_nets())
def test_all_plans_pass(situation: tuple[ConvNet, Graph]) -> None:
    """The planner keeps the rules on networks of every shape."""
    planned(situation[1])
