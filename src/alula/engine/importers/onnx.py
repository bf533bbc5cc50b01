"""ONNX model files: an own reader of the wire format over a mapped file; weights are views, never copied.

In: a path or bytes. Out: a checked Graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from alula.base.errors import GraphError, ModelFileError, UnsupportedError
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.files import describe, map_file, shown
from alula.engine.importers.onnx_graph import Place, read_graph
from alula.engine.importers.onnx_messages import ENTRY, MODEL, OPSET
from alula.engine.importers.order import captured
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Wire

_EMPTY_DATA = "the data is empty"


def load_onnx(path: Path) -> Graph:
    """Read an ONNX file; its weights stay in the file, mapped read-only for as long as the graph lives.

    External data is looked for in the file's folder. The file must not be changed while the graph lives.

    Raises:
        MissingError: no such file.
        ModelFileError: it is no ONNX model, or it is damaged.
        UnsupportedError: it needs something that alula does not have.
        GraphError: the graph breaks its own rules.
        LimitError: it is larger than the importer's limits.
    """
    path = Path(path)
    return read_onnx(map_file(path, "an ONNX model"), path.parent, path.name)


def read_onnx(data: bytes | memoryview, folder: Path | None = None, name: str = "model") -> Graph:
    """Read an ONNX model from memory; constants are views of `data`.

    Args:
        data: the serialized ModelProto; must not be changed while the graph lives.
        folder: where external data is looked for; None refuses external data.
        name: the model's name in messages and in the graph.

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
    if record.has("functions"):
        found = f"it has {len(record.spans('functions'))} functions of its own"
        hint = "inline them first: onnx.inliner.inline_local_functions"
        raise UnsupportedError(name, "needs a model of plain operators", found, hint)
    files = ExternalFiles(folder, name)
    graph = read_graph(Place(wire, files), span, name)
    graph = replace(graph, opsets=_opsets(record), metadata=_metadata(record), external=files.used)
    _check(graph)
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
    opsets: dict[str, int] = {}
    for span in record.spans("opset_import"):
        entry = read_record(record.wire, span, OPSET)
        domain, version = entry.text("domain"), entry.integer("version")
        domain = "" if domain == "ai.onnx" else domain
        if opsets.get(domain, version) != version:
            raise entry.damaged("one version a domain", f"{opsets[domain]} and {version}")
        opsets[domain] = version
    if not opsets:
        raise ModelFileError(record.wire.name, "needs the versions of its operator sets", "found none")
    return MappingProxyType(opsets)


def _metadata(record: Record) -> Mapping[str, str]:
    entries = [read_record(record.wire, span, ENTRY) for span in record.spans("metadata_props")]
    return MappingProxyType({entry.text("key"): entry.text("value") for entry in entries})


def _check(graph: Graph) -> None:
    """The rules of graphs, and what only a file can get wrong: ends without type, captures of nothing."""
    for value in graph.inputs:
        if value.shape is None:
            where = f"{graph.name}, input {shown(value.name)}"
            raise ModelFileError(
                where, "needs a dtype and a shape", "the file gives none", "export it with input shapes"
            )
    if not graph.outputs:
        raise ModelFileError(graph.name, "needs at least one output", "found none")
    check_graph(graph)
    known = {value.name for value in graph.inputs} | set(graph.constants)
    for node in graph.nodes:
        unknown = captured(node) - known
        if unknown:
            where = f"{shown(node.label)} ({shown(node.op)})"
            raise GraphError(
                where, "its nested graph needs values made before it", f"nothing makes {shown(min(unknown))}"
            )
        known.update(node.outputs)
