"""The header of a plan file: everything about its plans but code and weights, as JSON values.

In: Plan, Program, sizes and hashes of the parts. Out: a dict; `runtime/header.py` reads what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alula.base.plan_format import VERSION, machine_of
from alula.base.tensors import TensorSpec
from alula.engine.plan.records import HostStep, PlacedTensor, Plan, Step
from alula.engine.program.attributes import encode_attributes
from alula.engine.program.build import Program
from alula.engine.program.entry import native_segments

Json = Any


@dataclass(frozen=True)
class Part:
    """A stretch of the file, its offset counted from the end of the header; the hash covers padding too."""

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Built:
    """A plan and what came of it; offset and size of its text in the part `variants`, which the first one has not."""

    plan: Plan
    program: Program
    text: tuple[int, int] = (0, 0)


def header_of(
    built: Sequence[Built], parts: Mapping[str, Part], extras: Mapping[str, tuple[int, int]], alula: str
) -> dict[str, Json]:
    """The header as JSON values.

    Args:
        built: what was compiled, for each combination of input shapes.
        parts: `code`, `weights`, `variants` and `extras`.
        extras: offset (in the part) and size of each named extra.
        alula: version of the writer.
    """
    plan = built[0].plan
    return {
        "format": VERSION,
        "alula": alula,
        "model": plan.name,
        "target": {
            "name": plan.target.name,
            "machine": machine_of(plan.target.triple),
            "needs": list(plan.target.needs),
        },
        **_ends(plan),
        "parts": {name: vars(part) for name, part in parts.items()},
        "extras": {name: list(place) for name, place in extras.items()},
        "metadata": dict(plan.metadata),
        "variants": [{**_ends(one.plan), "text": list(one.text)} for one in built[1:]],
        **inner_of(built[0]),
    }


def inner_of(built: Built) -> dict[str, Json]:
    """What a file says of one of its plans, the ends aside."""
    plan, program = built.plan, built.program
    return {
        "arena_bytes": plan.arena_bytes,
        "scratch_bytes": program.scratch,
        "output_offsets": list(plan.output_offsets),
        "worker": program.worker,
        "launch": program.launch,
        "segments": _segments(plan, program),
        "steps": [_step(step) for step in plan.steps],
        "values": {
            name: {**_placed(placed, program), "block": plan.blocks.get(name, 0)}
            for name, placed in plan.places.items()
        },
    }


def _ends(plan: Plan) -> dict[str, Json]:
    return {
        "inputs": [_spec(spec) for spec in plan.inputs],
        "outputs": [_spec(spec) for spec in plan.outputs],
    }


def _spec(spec: TensorSpec) -> Json:
    return {"name": spec.name, "dtype": spec.dtype.value, "shape": list(spec.shape)}


def _placed(placed: PlacedTensor, program: Program) -> dict[str, Json]:
    at = placed.operand.index
    return {
        "name": placed.name,
        "dtype": placed.dtype.value,
        "shape": list(placed.shape),
        "kind": placed.operand.kind,
        "at": program.weights.offsets[at] if placed.operand.kind == "weights" else at,
    }


def _step(step: Step) -> Json:
    if isinstance(step, HostStep):
        written = [placed.name for placed in step.outputs]
        return {"label": step.label, "family": "host", "flops": 0, "bytes": 0, "units": 1, "outputs": written}
    return {
        "label": step.label,
        "family": step.kernel.family,
        "flops": step.flops,
        "bytes": step.bytes,
        "units": step.kernel.units,
        "outputs": list(step.outputs),
    }


def _segments(plan: Plan, program: Program) -> list[Json]:
    entries = dict(zip((first for first, _ in native_segments(plan)), program.entries, strict=True))
    segments: list[Json] = []
    for index, step in enumerate(plan.steps):
        if isinstance(step, HostStep):
            segments.append({"host": _host(step, program)})
        elif index in entries:
            segments.append({"native": entries[index]})
    return segments


def _host(step: HostStep, program: Program) -> Json:
    return {
        "op": step.node.op,
        "domain": step.node.domain,
        "attributes": encode_attributes(step.node.attributes, step.label),
        "label": step.label,
        "reason": step.reason,
        "inputs": [None if placed is None else _placed(placed, program) for placed in step.inputs],
        "outputs": [_placed(placed, program) for placed in step.outputs],
    }
