from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.models import external_model
from support.pass_graphs import GraphBuilder

from alula.base.settings import Settings, read_settings
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.kernels.target import TARGETS
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.sessions.cache import generator_fingerprint, plan_path
from alula.engine.sessions.compiler import CompileOptions, cached_path, compile_cached, import_model


def settings_of(folder: Path) -> Settings:
    """Settings whose cache is inside a folder."""
    return read_settings({"ALULA_CACHE": str(folder), "ALULA_JOBS": "1"})


def saved(folder: Path) -> Path:
    """A model of one convolution."""
    b = GraphBuilder(shape=(1, 4, 5, 5))
    b.conv("x", 4, 8)
    path = folder / "model.onnx"
    write_onnx(b.build(), path, NEWEST_OPSET)
    return path


def external(folder: Path, location: str) -> Path:
    """A model whose weights lie in another file of any name."""
    (folder / location).parent.mkdir(exist_ok=True)
    (folder / location).write_bytes(bytes(range(24)))
    return external_model(folder, {"location": location, "offset": "0", "length": "24"})


def test_a_model_is_compiled_once(tmp_path: Path) -> None:
    """The second opening must find what the first has made."""
    model, settings = saved(tmp_path), settings_of(tmp_path / "cache")

    first = compile_cached(model, CompileOptions(), settings)
    second = compile_cached(model, CompileOptions(), settings)

    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    assert set(first.seconds) == {"import", "optimise", "plan", "emit"}


@pytest.mark.parametrize("location", ["w.bin", "parts/w.bin", "model.onnx.data"])
def test_weights_in_other_files_are_part_of_the_name(location: str, tmp_path: Path) -> None:
    """A model retrained in place, with the same graph, must not answer with the old weights."""
    model, settings = external(tmp_path, location), settings_of(tmp_path)
    graph = import_model(model)
    before = cached_path(graph, model, CompileOptions(), settings)

    (tmp_path / location).write_bytes(bytes(24))

    assert graph.external == (location,)
    assert cached_path(import_model(model), model, CompileOptions(), settings) != before


def test_files_beside_the_model_that_it_does_not_use_are_no_part_of_the_name(tmp_path: Path) -> None:
    """A stray file must neither be read nor cause a compilation."""
    model, settings = saved(tmp_path), settings_of(tmp_path)
    graph = import_model(model)
    before = cached_path(graph, model, CompileOptions(), settings)

    model.with_name("model.onnx.data").write_bytes(b"stray")

    assert cached_path(import_model(model), model, CompileOptions(), settings) == before


@pytest.mark.parametrize("change", [
    {"shapes": {"x": (1, 4, 5, 5)}}, {"disable": frozenset({"fuse_epilogue"})}, {"native": False}, {"reuse": False},
    {"memory_limit": 1 << 30}, {"target": TARGETS[-1].name}, {"extras": {"labels.txt": b"cat"}},
], ids=str)  # fmt: skip
def test_every_choice_that_changes_the_plan_changes_the_name(change: dict[str, object], tmp_path: Path) -> None:
    """A plan from the cache must be the plan that was asked for."""
    model, settings = saved(tmp_path), settings_of(tmp_path)
    graph, make = import_model(model), _options

    assert cached_path(graph, model, make(change), settings) != cached_path(graph, model, make({}), settings)


@pytest.mark.parametrize("change", [{"jobs": 7}, {"check": True}], ids=str)
def test_choices_that_change_nothing_in_the_plan_keep_the_name(change: dict[str, object], tmp_path: Path) -> None:
    """How many processes compile is not what they compile."""
    model, settings = saved(tmp_path), settings_of(tmp_path)
    graph, make = import_model(model), _options

    assert cached_path(graph, model, make(change), settings) == cached_path(graph, model, make({}), settings)


def _options(change: dict[str, object]) -> CompileOptions:
    make: Callable[..., CompileOptions] = CompileOptions
    return make(**({"target": TARGETS[0].name} | change))


def test_bytes_that_move_from_one_file_to_the_next_change_the_name(tmp_path: Path) -> None:
    """The digest must not run files together."""
    names = []
    for parts in ((b"ab", b"c"), (b"a", b"bc")):
        for name, data in zip(("m", "w"), parts, strict=True):
            (tmp_path / name).write_bytes(data)
        names.append(plan_path(tmp_path, tmp_path / "m", ["w"], TARGETS[0], {}))

    assert names[0] != names[1]


def test_the_name_says_model_and_target(tmp_path: Path) -> None:
    """People clean caches by hand."""
    path = plan_path(tmp_path, saved(tmp_path), [], TARGETS[0], {})

    assert path.parent == tmp_path / "plans"
    assert path.name.startswith(f"model-{TARGETS[0].name}-")


def test_the_compiler_itself_is_part_of_the_name() -> None:
    """A new version of alula, or a changed kernel, makes new plans."""
    assert len(generator_fingerprint()) == 64
    assert generator_fingerprint() == generator_fingerprint()
