"""What an ONNX file says about itself, without its graph being read.

In: a model file. Out: `ModelFacts`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alula.engine.importers.files import map_file, shown
from alula.engine.importers.onnx_messages import ENTRY, MOST_NODES
from alula.engine.importers.onnx_types import read_value
from alula.engine.importers.records import FieldType, Kind, MessageType, Record, read_record
from alula.engine.importers.wire import Wire

_MODEL = MessageType(
    "ModelProto",
    {
        2: FieldType("producer_name"),
        3: FieldType("producer_version"),
        4: FieldType("domain"),
        5: FieldType("model_version", Kind.INT),
        6: FieldType("doc_string"),
        7: FieldType("graph"),
        14: FieldType("metadata_props", most=10_000),
    },
)
_ENDS = ("input", "output")
_GRAPH = MessageType(
    "GraphProto",
    {
        2: FieldType("name"),
        10: FieldType("doc_string"),
        11: FieldType("input", most=MOST_NODES),
        12: FieldType("output", most=MOST_NODES),
    },
)


@dataclass(frozen=True)
class ModelFacts:
    """Free text of a model file; `metadata` by key.

    Attributes:
        kinds: of inputs and outputs that are no tensors, by name: `sequence` or `optional`.
    """

    producer: str
    domain: str
    description: str
    version: int
    graph: str
    graph_description: str
    metadata: Mapping[str, str]
    kinds: Mapping[str, str]


def read_facts(path: str | os.PathLike[str]) -> ModelFacts:
    """Read the outermost fields of an ONNX file; costs no memory, whatever the file's size.

    Raises:
        MissingError: there is no such file.
        ModelFileError: it is no ONNX model.
    """
    file = Path(path)
    view = memoryview(map_file(file, "an ONNX model")).toreadonly().cast("B")
    wire = Wire(view, shown(file.name))
    model = read_record(wire, (0, len(view)), _MODEL)
    span = model.one("graph")
    graph = Record(wire, _GRAPH, (0, 0)) if span is None else read_record(wire, span, _GRAPH)
    entries = [read_record(wire, at, ENTRY) for at in model.spans("metadata_props")]
    ends = [read_value(wire, at)[0] for field in _ENDS for at in graph.spans(field)]
    return ModelFacts(
        producer=model.text("producer_name"),
        domain=model.text("domain"),
        description=model.text("doc_string"),
        version=model.integer("model_version"),
        graph=graph.text("name"),
        graph_description=graph.text("doc_string"),
        metadata={entry.text("key"): entry.text("value") for entry in entries},
        kinds={end.name: end.kind for end in ends if end.kind},
    )
