"""The header of a plan file as frozen records, checked field by field: whatever it says, memory stays safe.

In: the header's bytes. Out: `PlanHeader`. `program/header.py` writes what is read here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from alula.base.errors import PlanFileError
from alula.base.plan_format import ALIGNMENT, VERSION, stored_shape
from alula.base.tensors import DType, TensorSpec
from alula.engine.runtime.fields import Fields, parse_json

Place = Literal["arena", "weights", "input", "output"]
_PLACES: Mapping[str, Place] = {"arena": "arena", "weights": "weights", "input": "input", "output": "output"}
PARTS = ("code", "weights", "variants", "extras")
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Part:
    """A stretch of the file, counted from the end of the header."""

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Placed:
    """A tensor at a place: `at` is a byte offset in arena or weights, or the index of an input or output.

    With `block` channels a block it lies as `stored` says, else row-major as `shape` says.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    kind: Place
    at: int
    block: int = 0

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape in memory."""
        return stored_shape(self.shape, self.block)

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes."""
        return math.prod(self.stored) * self.dtype.itemsize


@dataclass(frozen=True)
class HostCall:
    """A node that the plan's opener runs, between native segments.

    Attributes:
        attributes: as the file holds them; `alula.engine.program.attributes` decodes them.
        reason: why no native step does it.
    """

    op: str
    domain: str
    attributes: Mapping[str, Any]
    label: str
    reason: str
    inputs: tuple[Placed | None, ...]
    outputs: tuple[Placed, ...]


@dataclass(frozen=True)
class NativeCall:
    """A native segment: the offset of its entry in the code."""

    entry: int


@dataclass(frozen=True)
class StepInfo:
    """What `show` and the benchmark know of a step."""

    label: str
    family: str
    flops: int
    bytes: int
    units: int
    outputs: tuple[str, ...]


Segment = NativeCall | HostCall


@dataclass(frozen=True)
class Variant:
    """A further plan of the file: its ends, and where its text lies in the part `variants`."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class PlanHeader:
    """All that a plan file says of a plan besides code, weights and extras.

    Sizes are in bytes, `worker` and `launch` are offsets in the code. `variants` are the file's further plans.
    """

    alula: str
    model: str
    target: str
    machine: str
    needs: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    arena_bytes: int
    scratch_bytes: int
    output_offsets: tuple[int, ...]
    parts: Mapping[str, Part]
    extras: Mapping[str, tuple[int, int]]
    worker: int
    launch: int
    segments: tuple[Segment, ...]
    steps: tuple[StepInfo, ...]
    values: Mapping[str, Placed]
    metadata: Mapping[str, str]
    variants: tuple[Variant, ...] = ()

    @property
    def flops(self) -> int:
        """Arithmetic operations of one run, host steps not counted."""
        return sum(step.flops for step in self.steps)

    @property
    def host_calls(self) -> tuple[HostCall, ...]:
        """The nodes that the opener has to run."""
        return tuple(segment for segment in self.segments if isinstance(segment, HostCall))

    @property
    def sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Bytes of each input and of each output."""
        return tuple(map(_size, self.inputs)), tuple(map(_size, self.outputs))


def parse_header(data: bytes, where: str) -> PlanHeader:
    """Read a header.

    Args:
        data: UTF-8 JSON.
        where: the file, for messages.

    Raises:
        PlanFileError: a field is missing, of a wrong type or range, or points outside memory.
    """
    fields = parse_json(data, where)
    if fields.count("format") != VERSION:
        fields.refuse("format", f"{VERSION}")
    target = fields.inner("target")
    parts = fields.inner("parts")
    outputs = _specs(fields, "outputs")
    header = PlanHeader(
        alula=fields.text("alula"),
        model=fields.text("model"),
        target=target.text("name"),
        machine=target.text("machine"),
        needs=target.texts("needs"),
        inputs=_specs(fields, "inputs"),
        outputs=outputs,
        parts=MappingProxyType({name: _part(parts.inner(name)) for name in PARTS}),
        extras=_extras(fields.inner("extras")),
        metadata=_texts(fields.inner("metadata")),
        variants=tuple(_variant(variant) for variant in fields.list_of("variants")),
        **_inner(fields, len(outputs)),
    )
    _check_header(header, where)
    _check_variants(header, where)
    return header


def parse_variant(header: PlanHeader, variant: Variant, data: bytes, where: str) -> PlanHeader:
    """Read the text of a further plan; what it shares with the file's first one comes from the header.

    Raises:
        PlanFileError: as `parse_header`.
    """
    inner = _inner(parse_json(data, where), len(variant.outputs))
    made = replace(header, inputs=variant.inputs, outputs=variant.outputs, variants=(), **inner)
    _check_header(made, where)
    return made


def _inner(fields: Fields, outputs: int) -> dict[str, Any]:
    """The fields that every plan of a file has for itself."""
    return {
        "arena_bytes": fields.count("arena_bytes"),
        "scratch_bytes": fields.count("scratch_bytes"),
        "output_offsets": fields.counts("output_offsets", outputs),
        "worker": fields.count("worker"),
        "launch": fields.count("launch"),
        "segments": tuple(_segment(segment) for segment in fields.list_of("segments")),
        "steps": tuple(_step(step) for step in fields.list_of("steps")),
        "values": _values(fields.inner("values")),
    }


def _check_header(header: PlanHeader, where: str) -> None:
    """Verify what concerns several fields."""
    if header.scratch_bytes % ALIGNMENT:
        raise PlanFileError(where, f"needs scratch_bytes on a border of {ALIGNMENT}", f"found {header.scratch_bytes}")
    for specs in (header.inputs, header.outputs):
        if len({spec.name for spec in specs}) != len(specs):
            raise PlanFileError(where, "needs distinct names of inputs and of outputs", "one stands twice")
    for offset, size in zip(header.output_offsets, header.sizes[1], strict=True):
        _check_range(where, "an output", offset, size, header.arena_bytes)
    for name, (offset, size) in header.extras.items():
        _check_range(where, f"extra {name!r}", offset, size, header.parts["extras"].size)
    for entry in (header.worker, header.launch):
        _check_range(where, "an entry", entry, 1, header.parts["code"].size)
    for segment in header.segments:
        _check_segment(header, segment, where)
    for placed in header.values.values():
        _check_placed(header, placed, f"{where}, values")


def _check_variants(header: PlanHeader, where: str) -> None:
    """All plans of a file are of one model, for shapes that differ."""
    seen = {_shapes(header.inputs)}
    for variant in header.variants:
        _check_range(where, "the text of a plan", variant.offset, variant.size, header.parts["variants"].size)
        for mine, first in ((variant.inputs, header.inputs), (variant.outputs, header.outputs)):
            if [(spec.name, spec.dtype) for spec in mine] != [(spec.name, spec.dtype) for spec in first]:
                raise PlanFileError(where, "needs plans with ends of the same names and dtypes", "they differ")
        if _shapes(variant.inputs) in seen:
            raise PlanFileError(where, "needs plans for different input shapes", "two are alike")
        seen.add(_shapes(variant.inputs))


def _shapes(specs: tuple[TensorSpec, ...]) -> tuple[tuple[int | str, ...], ...]:
    return tuple(spec.shape for spec in specs)


def _check_segment(header: PlanHeader, segment: Segment, where: str) -> None:
    if isinstance(segment, NativeCall):
        _check_range(where, "an entry", segment.entry, 1, header.parts["code"].size)
        return
    for placed in (*segment.inputs, *segment.outputs):
        _check_placed(header, placed, f"{where}, host step {segment.label!r}")
    if any(placed.kind in {"weights", "input"} for placed in segment.outputs):
        raise PlanFileError(where, "needs host steps that write to the arena or an output", "one writes elsewhere")


def _check_placed(header: PlanHeader, placed: Placed | None, where: str) -> None:
    if placed is None:
        return
    what = f"tensor {placed.name!r}"
    if placed.kind in {"arena", "weights"}:
        end = header.arena_bytes if placed.kind == "arena" else header.parts["weights"].size
        _check_range(where, what, placed.at, placed.nbytes, end)
        return
    sizes = header.sizes[placed.kind == "output"]
    if placed.at >= len(sizes) or placed.nbytes > sizes[placed.at]:
        raise PlanFileError(where, f"needs {what} inside an {placed.kind} of the model", f"number {placed.at}")


def _check_range(where: str, what: str, offset: int, size: int, end: int) -> None:
    if offset + size > end:
        raise PlanFileError(where, f"needs {what} below byte {end}", f"found bytes {offset} to {offset + size}")


def _specs(fields: Fields, name: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(item.text("name"), item.dtype("dtype"), item.shape("shape")) for item in fields.list_of(name)
    )


def _variant(fields: Fields) -> Variant:
    offset, size = fields.counts("text", 2)
    return Variant(_specs(fields, "inputs"), _specs(fields, "outputs"), offset, size)


def _part(fields: Fields) -> Part:
    digest = fields.text("sha256")
    if len(digest) != _SHA256_DIGITS:
        fields.refuse("sha256", f"{_SHA256_DIGITS} hexadecimal digits")
    return Part(fields.count("offset"), fields.count("size"), digest)


def _extras(fields: Fields) -> Mapping[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    for name in fields.raw:
        offset, size = fields.counts(name, 2)
        places[name] = (offset, size)
    return MappingProxyType(places)


def _texts(fields: Fields) -> Mapping[str, str]:
    return MappingProxyType({name: fields.text(name) for name in fields.raw})


def _values(fields: Fields) -> Mapping[str, Placed]:
    return MappingProxyType({name: _placed(fields.inner(name)) for name in fields.raw})


def _placed(fields: Fields) -> Placed:
    kind = _PLACES.get(fields.text("kind")) or fields.refuse("kind", f"one of {', '.join(_PLACES)}")
    shape = fields.shape("shape")
    block = fields.count("block", 64) if fields.has("block") else 0
    if block and len(shape) < 2:  # noqa: PLR2004  batch and channels
        fields.refuse("shape", "channels to lie in blocks")
    return Placed(fields.text("name"), fields.dtype("dtype"), shape, kind, fields.count("at"), block)


def _segment(fields: Fields) -> Segment:
    if fields.has("native"):
        return NativeCall(fields.count("native"))
    host = fields.inner("host")
    inputs = [None if item is None else _placed(Fields(item, host.where)) for item in host.items("inputs")]
    return HostCall(
        op=host.text("op"),
        domain=host.text("domain"),
        attributes=MappingProxyType(dict(host.inner("attributes").raw)),
        label=host.text("label"),
        reason=host.text("reason"),
        inputs=tuple(inputs),
        outputs=tuple(_placed(item) for item in host.list_of("outputs")),
    )


def _step(fields: Fields) -> StepInfo:
    return StepInfo(
        label=fields.text("label"),
        family=fields.text("family"),
        flops=fields.count("flops"),
        bytes=fields.count("bytes"),
        units=fields.count("units"),
        outputs=fields.texts("outputs"),
    )


def _size(spec: TensorSpec) -> int:
    return math.prod(dim for dim in spec.shape if isinstance(dim, int)) * spec.dtype.itemsize
