from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.models import external_model
from support.pass_graphs import GraphBuilder
from support.staged import rows_graph

from alula.base.settings import Settings, read_settings
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.kernels.target import TARGETS
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.sessions.cache import bound_cache, generator_fingerprint, graph_digest, mark_used, plan_path
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


def aged(path: Path, size: int, age: float) -> Path:
    """A file of a size that was used so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return path


def test_the_least_recently_used_files_go_first(tmp_path: Path) -> None:
    """A service of changing shapes must not fill the disk; models that were fetched are not the cache's to remove."""
    old, kernel = aged(tmp_path / "plans" / "old.alula", 100, 900), aged(tmp_path / "kernels" / "k.o", 100, 600)
    used, fresh = aged(tmp_path / "plans" / "used.alula", 100, 800), aged(tmp_path / "plans" / "new.alula", 100, 0)
    model = aged(tmp_path / "models" / "m.onnx", 1000, 5000)
    mark_used(used)

    bound_cache(tmp_path, 200)

    assert [path.exists() for path in (old, kernel, used, fresh, model)] == [False, False, True, True, True]


def test_the_plan_that_was_just_made_stays(tmp_path: Path) -> None:
    """Even if it alone is larger than the bound."""
    kept = aged(tmp_path / "plans" / "large.alula", 1000, 50)
    other = aged(tmp_path / "plans" / "small.alula", 10, 0)

    bound_cache(tmp_path, 100, kept)

    assert kept.exists()
    assert not other.exists()


def test_an_empty_cache_needs_no_bound(tmp_path: Path) -> None:
    """Nothing is there at the first compilation."""
    bound_cache(tmp_path / "nowhere", 1)


@pytest.mark.parametrize("change", ["weight", "attribute", "name", "order", "body"])
def test_all_that_a_graph_computes_is_in_its_digest(change: str) -> None:
    """Parts of models are named by it: a part that differs must not answer with another one's plan."""
    graph = rows_graph()
    nodes, constants = list(graph.nodes), dict(graph.constants)
    if change == "weight":
        constants["w1"] = constants["w1"] * np.float32(1 + 1e-7)
    elif change == "attribute":
        nodes[0] = nodes[0].with_attributes(pads=(1, 1, 1, 2))
    elif change == "name":
        nodes[1] = replace(nodes[1], outputs=("other",))
    elif change == "order":
        nodes[0] = replace(nodes[0], inputs=("w1", "x"))
    else:
        nodes[0] = nodes[0].with_attributes(body=rows_graph(16))

    assert graph_digest(replace(graph, nodes=tuple(nodes), constants=constants)) != graph_digest(graph)
    assert graph_digest(rows_graph()) == graph_digest(graph)


def test_a_source_that_changes_nothing_finds_its_kernels_again(tmp_path: Path) -> None:
    """Kernels are named by their text: a plan for other options is linked from those that are there."""
    model, settings = saved(tmp_path), settings_of(tmp_path / "cache")
    compile_cached(model, CompileOptions(), settings)
    before = sorted((settings.cache / "kernels").iterdir())

    other = compile_cached(model, CompileOptions(extras={"note": b"x"}), settings)

    assert not other.cached
    assert sorted((settings.cache / "kernels").iterdir()) == before != []
