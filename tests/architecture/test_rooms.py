from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from grimp import ImportGraph
from importlinter import ContractCheck
from rooms import RoomsContract, parse_row

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACT = next(c for c in SETTINGS["tool"]["importlinter"]["contracts"] if c["id"] == "rooms")


def _check(*imports: tuple[str, str]) -> list[str]:
    graph = ImportGraph()
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported, line_number=3, line_contents="import")
    check: ContractCheck = RoomsContract("rooms", {}, CONTRACT).check(graph, verbose=False)
    broken: list[str] = check.metadata["broken"]
    return broken


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("alula.serving.http", "alula.engine.sessions.open"),
        ("alula.imaging.decode", "alula.engine.graph.dims"),
        ("alula.base.errors", "alula.engine.graph"),
        ("alula.base.errors", "numpy"),
        ("alula.engine.runtime.session", "numpy"),
        ("alula.engine.runtime.session", "alula.engine.graph.nodes"),
        ("alula.engine.graph.dims", "alula.engine.operators.record"),
        ("alula.engine.passes.fuse", "llvmlite"),
        ("alula.engine.sessions.native", "onnxruntime"),
        ("alula.engine.importers.onnx", "onnx"),
        ("alula.cli.main", "PIL"),
        ("alula.serving.http", "pickle"),
        ("alula.engine.importers.torch", "pickle"),
        ("alula.engine.magic.wand", "alula.engine.graph.dims"),
        ("alula.basement", "json"),
    ],
)
def test_import_across_a_wall_is_found(importer: str, imported: str) -> None:
    """Rooms see only what the table allows, and outside libraries have one home each."""
    broken = _check((importer, imported))

    assert [line.split(":")[0].split(" ")[0] for line in broken] == [importer]


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("alula", "alula.base.session"),
        ("alula.base.errors", "alula.base.tensors"),
        ("alula.engine.runtime.session", "ctypes"),
        ("alula.engine.kernels.ir", "llvmlite"),
        ("alula.engine.passes.fuse", "alula.engine.operators.record"),
        ("alula.engine.sessions.onnxruntime_session", "alula.engine.graph.nodes"),
        ("alula.engine.sessions.onnxruntime", "onnxruntime"),
        ("alula.serving.http", "alula.imaging.decode"),
        ("alula.cli.main", "alula.serving.http"),
    ],
)
def test_import_inside_the_walls_is_allowed(importer: str, imported: str) -> None:
    """The contract forbids no more than the table says."""
    assert _check((importer, imported)) == []


def test_every_room_of_the_source_has_a_row() -> None:
    """A new room brings its row, and a row without a room or file goes."""
    rows = {parse_row(text).room for text in CONTRACT["table"]}
    source = ROOT / "src"
    folders = [*source.glob("alula/__init__.py"), *source.glob("alula/*/__init__.py")]
    rooms = {path.parent for path in [*folders, *source.glob("alula/engine/*/__init__.py")]}
    files = {path.with_suffix("") for path in source.rglob("*.py")}

    assert rows >= {".".join(path.relative_to(source).parts) for path in rooms}
    assert rows <= {".".join(path.relative_to(source).parts) for path in rooms | files}


def test_base_install_has_no_dependencies() -> None:
    """The short road needs the standard library only."""
    assert SETTINGS["project"]["dependencies"] == []
