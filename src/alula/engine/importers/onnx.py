"""ONNX model files: an own reader of the wire format over a mapped file; weights are views, never copied.

In: a path or bytes. Out: a checked Graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from alula.base.errors import ModelFileError
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.files import describe, map_file, shown
from alula.engine.importers.inline import inline_functions
from alula.engine.importers.onnx_functions import read_functions, read_opsets
from alula.engine.importers.onnx_graph import read_graph
from alula.engine.importers.onnx_messages import ENTRY, MODEL
from alula.engine.importers.place import ImportLimits, Place
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Wire

_EMPTY_DATA = "the data is empty"
DEFAULT_LIMITS = ImportLimits()


def load_onnx(path: Path, limits: ImportLimits = DEFAULT_LIMITS) -> Graph:
    """Read an ONNX file; its weights stay in the file, mapped read-only for as long as the graph lives.

    External data is looked for in the file's folder. The file must not be changed while the graph lives. The model's
    own functions are written out where they are called; graphs inside nodes are self-contained.

    Raises:
        MissingError: no such file.
        ModelFileError: it is no ONNX model, or it is damaged.
        UnsupportedError: it needs something that alula does not have.
        GraphError: the graph breaks its own rules.
        LimitError: it is larger than the importer's limits.
    """
    path = Path(path)
    return read_onnx(map_file(path, "an ONNX model"), path.parent, path.name, limits)


def read_onnx(
    data: bytes | memoryview, folder: Path | None = None, name: str = "model", limits: ImportLimits = DEFAULT_LIMITS
) -> Graph:
    """Read an ONNX model from memory; constants are views of `data`.

    Args:
        data: the serialized ModelProto; must not be changed while the graph lives.
        folder: where external data is looked for; None refuses external data.
        name: the model's name in messages and in the graph.
        limits: how large the model may be.

    Raises:
        AlulaError: as `load_onnx` does.
    """
    view = memoryview(data).toreadonly().cast("B")
    if not view:
        raise ModelFileError(name, "needs an ONNX model", _EMPTY_DATA)
    wire = Wire(view, shown(name))
    record = _model(wire, view)
    span = record.one("graph")
    if span is None:
        raise ModelFileError(name, "needs an ONNX model with a graph", describe(view))
    files = ExternalFiles(folder, name)
    place = Place(wire, files, limits)
    graph = read_graph(place, span, name)
    if not graph.outputs:
        raise ModelFileError(name, "needs at least one output", "found none")
    graph = replace(graph, opsets=_opsets(record), metadata=_metadata(record), external=files.used)
    graph = inline_functions(graph, read_functions(place, record.spans("functions")), limits)
    check_graph(graph)
    return graph


def _model(wire: Wire, view: memoryview) -> Record:
    """The outermost message; bytes that are none are reported as no ONNX model at all."""
    try:
        return read_record(wire, (0, len(view)), MODEL)
    except ModelFileError as error:
        hint = "check that this is the model that you mean; `file NAME` tells what it is"
        detail = f"{error.where}: {error.needed}, {error.found}"
        raise ModelFileError(wire.name, "needs an ONNX model", describe(view), hint, detail) from None


def _opsets(record: Record) -> Mapping[str, int]:
    opsets = read_opsets(record)
    if not opsets:
        raise ModelFileError(record.wire.name, "needs the versions of its operator sets", "found none")
    return MappingProxyType(opsets)


def _metadata(record: Record) -> Mapping[str, str]:
    entries = [read_record(record.wire, span, ENTRY) for span in record.spans("metadata_props")]
    return MappingProxyType({entry.text("key"): entry.text("value") for entry in entries})
