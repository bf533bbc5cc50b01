from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.planned import assert_close
from support.plans import resident_pages
from support.staged import batch_graph, image, rows_graph, saved_model, split_graph

from alula.base.errors import InputError, LimitError
from alula.base.session import OpenOptions
from alula.base.settings import Settings, read_settings
from alula.base.tensors import Tensor
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.sessions.compiler import CompileOptions
from alula.engine.sessions.native import SpecialisingSession, open_native
from alula.engine.sessions.reference import prepare_reference
from alula.engine.sessions.staging import look_ahead


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cache of its own, one thread, two plans open."""
    variables = {"ALULA_JOBS": "1", "ALULA_THREADS": "1", "ALULA_PLANS": "2", "ALULA_CHECK": "1"}
    return read_settings({"ALULA_CACHE": str(tmp_path / "cache"), **variables})


def opened(folder: Path, graph: Graph, settings: Settings) -> SpecialisingSession:
    """A session that specialises."""
    session = open_native(saved_model(folder, graph), OpenOptions(), settings)
    assert isinstance(session, SpecialisingSession)
    return session


def arrays(results: Any) -> dict[str, Any]:
    """Results that outlive the next run."""
    return {name: np.array(np.asarray(tensor)) for name, tensor in results.items()}


def plans_in(settings: Settings) -> list[Path]:
    """The plans of the cache."""
    return sorted((settings.cache / "plans").glob("*.alula"))


@pytest.mark.parametrize("size", [None, 48], ids=["symbolic", "static"])
def test_sizes_that_depend_on_data_are_right_every_time(size: int | None, settings: Settings, tmp_path: Path) -> None:
    """What follows a size of the data is specialised by it; other data, other sizes, and back."""
    graph = rows_graph(32, size)
    truth = prepare_reference(graph)

    with opened(tmp_path, graph, settings) as session:
        for height, rows in ((48, 40), (48, 5), (size or 33, 64), (48, 40)):
            feeds = {"x": image(height, 48, rows)}
            found = arrays(session.run(feeds))
            assert found["y"].shape == (rows, 32, 8, 8)
            assert_close(found, evaluate_graph(truth, feeds))


def test_stages_say_what_runs_where_and_why(settings: Settings, tmp_path: Path) -> None:
    """All that does not depend on the unknown size is one part; nothing is hidden."""
    with opened(tmp_path, rows_graph(), settings) as session:
        stage = session.stage_for({"x": (1, 3, 16, 16)})

    assert stage is not None
    assert stage.native is not None
    assert stage.rest is not None
    assert [node.op for node in stage.native.nodes] == ["Conv", "Relu", "ReduceMax", "Cast", "GlobalAveragePool"]
    assert [(one.node.label, one.reason) for one in stage.host] == [("counter", "the size of count depends on data")]
    assert [node.op for node in stage.rest.nodes] == ["Shape", "Concat", "Expand", "Conv"]
    assert [value.name for value in stage.rest.inputs] == ["count", "row"]


@pytest.mark.parametrize(("side", "rows", "plans"), [(8, 2, 0), (96, 2, 1), (8, 64, 1), (96, 64, 2)])
def test_parts_are_compiled_where_that_pays(
    side: int, rows: int, plans: int, settings: Settings, tmp_path: Path
) -> None:
    """A plan takes 100 ms and more: a handful of cheap nodes is run by reference, heavy parts never are."""
    with opened(tmp_path, rows_graph(32), settings) as session:
        session.run({"x": image(side, side, rows)})

        assert session.open_plans == plans
    assert len(plans_in(settings)) == plans


def test_sessions_count_the_steps_of_what_has_run(settings: Settings, tmp_path: Path) -> None:
    """Parts that a plan holds count as its steps, parts that run by reference as their nodes."""
    with opened(tmp_path, rows_graph(32), settings) as session:
        before = session.step_counts
        session.run({"x": image(8, 8, 2)})
        by_reference = session.step_counts
        session.run({"x": image(96, 96, 64)})
        native, host = session.step_counts

    assert before == (0, 0)
    assert by_reference[0] == 0
    assert by_reference[1] > 0
    assert native > 0
    assert host > by_reference[1]


def test_no_rows_at_all_are_a_result_too(settings: Settings, tmp_path: Path) -> None:
    """A detector that finds nothing answers with nothing."""
    with opened(tmp_path, rows_graph(), settings) as session:
        found = session.run({"x": image(16, 16, 0)})["y"]

    assert found.shape == (0, 8, 8, 8)
    assert found.nbytes == 0


def test_a_batch_of_none_runs(settings: Settings, tmp_path: Path) -> None:
    """Kernels have at least one unit of work; a tensor without elements must not reach one."""
    graph = batch_graph()

    with opened(tmp_path, graph, settings) as session:
        found = session.run({"x": np.zeros((0, 3, 16, 16), np.float32)})["features"]

    assert found.shape == (0, 8, 16, 16)


def test_lists_flow_between_host_nodes(settings: Settings, tmp_path: Path) -> None:
    """Sequences have no place in a plan; the nodes around them still run."""
    x = np.arange(12, dtype=np.float32).reshape(6, 2)

    with opened(tmp_path, split_graph(), settings) as session:
        found = np.asarray(session.run({"x": x})["y"])

    assert found.tolist() == [*(-x).tolist(), *(-x).tolist()]


def test_results_go_into_the_callers_buffers(settings: Settings, tmp_path: Path) -> None:
    """Of the size that comes out; another size is refused with both."""
    with opened(tmp_path, rows_graph(), settings) as session:
        feeds = {"x": image(16, 16, 3)}
        wanted = arrays(session.run(feeds))["y"]
        out = np.empty_like(wanted)
        result = session.run(feeds, {"y": out})["y"]

        assert isinstance(result, Tensor)
        assert out.tolist() == wanted.tolist()
        with pytest.raises(InputError, match=r"output y: needs 6144 bytes, the buffer has 8"):
            session.run(feeds, {"y": np.zeros(2, np.float32)})


@pytest.mark.parametrize(("inputs", "word"), [
    ({}, "input x"), ({"x": bytes(12)}, "input x"), ({"x": np.zeros((1, 3, 4, 4))}, "float64"),
    ({"x": image(4, 4, 1), "z": image(4, 4, 1)}, "input z"), ({"x": [1, 2]}, "input x"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(
    inputs: dict[str, Any], word: str, settings: Settings, tmp_path: Path
) -> None:
    """As in any other session; nothing is computed."""
    with opened(tmp_path, rows_graph(), settings) as session, pytest.raises(InputError, match=word):
        session.run(inputs)


def test_names_of_unknown_sizes_come_from_the_file(settings: Settings, tmp_path: Path) -> None:
    """An output whose rank nobody knows shows three dots."""
    with opened(tmp_path, rows_graph(), settings) as session:
        assert [spec.shape for spec in session.outputs] == [(1, 8, "H", "W"), ("rows", 8, 8, 8)]
    with opened(tmp_path, split_graph(), settings) as session:
        assert [spec.shape for spec in session.outputs] == [("...",)]


def test_parts_come_from_the_cache_of_an_earlier_session(settings: Settings, tmp_path: Path) -> None:
    """Their names depend on what they compute, not on the session."""
    feeds = {"x": image(96, 96, 64)}
    with opened(tmp_path, rows_graph(32), settings) as session:
        first = arrays(session.run(feeds))
    before = [(plan, plan.read_bytes()) for plan in plans_in(settings)]

    with opened(tmp_path, rows_graph(32), settings) as session:
        second = arrays(session.run(feeds))

    assert [(plan, plan.read_bytes()) for plan in plans_in(settings)] == before
    assert {name: array.tobytes() for name, array in second.items()} == {n: a.tobytes() for n, a in first.items()}


def test_a_fork_outlives_the_session(settings: Settings, tmp_path: Path) -> None:
    """And a closed one refuses."""
    session = opened(tmp_path, rows_graph(), settings)
    fork = session.fork()
    session.close()

    assert fork.run({"x": image(8, 8, 1)})["y"].shape == (1, 8, 8, 8)
    with pytest.raises(InputError, match="closed"):
        session.run({"x": image(8, 8, 1)})
    fork.close()


def test_declared_shapes_are_the_only_ones(settings: Settings, tmp_path: Path) -> None:
    """A service says which sizes it takes; others would fill its cache."""
    path = saved_model(tmp_path, rows_graph())
    options = OpenOptions(shapes={"x": (1, 3, range(16, 33, 16), 16)})

    with open_native(path, options, settings) as session:  # type: ignore[attr-defined]
        assert session.run({"x": image(32, 16, 1)})["y"].shape == (1, 8, 8, 8)
        with pytest.raises(InputError, match=r"x \[1, 3, 16, 16\]; x \[1, 3, 32, 16\]"):
            session.run({"x": image(24, 16, 1)})


def test_memory_stays_flat_over_sizes_that_never_come_back(settings: Settings, tmp_path: Path) -> None:
    """Plans are closed, their code unmapped, and the cache keeps within its bound."""
    settings = replace(settings, cache_bytes=400_000, check=False)
    session = opened(tmp_path, rows_graph(32), settings)
    for number in range(12):
        session.run({"x": image(40 + number, 40, 40 + number)})
    before = resident_pages()

    for number in range(12, 36):
        session.run({"x": image(40 + number, 40, 40 + number)})

    # Three thousand pages are 12 MB; 24 sizes that stay would take several times as much with their arenas and code.
    assert resident_pages() - before < 3000
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert len({line.split()[-1] for line in maps.splitlines() if str(settings.cache) in line}) <= settings.plans
    kept = sum(file.stat().st_size for file in settings.cache.rglob("*") if file.is_file())
    assert kept <= settings.cache_bytes + 100_000
    session.close()


def test_options_of_the_model_reach_its_parts(settings: Settings, tmp_path: Path) -> None:
    """A part is compiled as its model would be."""
    session = opened(tmp_path, rows_graph(32), settings)
    options = CompileOptions(target="x86-64-v2", disable=frozenset({"fuse_epilogue"}))
    other = SpecialisingSession(session._graph, session._path, options, settings)

    for each in (session, other):
        each.run({"x": image(96, 96, 1)})
        each.close()

    assert len(plans_in(settings)) == 2


@pytest.mark.parametrize(("trips", "ends"), [(5, True), (6, False)])
def test_loops_of_a_stage_end_at_the_limit(trips: int, ends: bool, settings: Settings, tmp_path: Path) -> None:  # noqa: FBT001  a parameter
    """No model file can keep a process busy for ever, whichever provider runs it."""
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("s", "t")]
    number = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    more = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("c", "d")]
    steps = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["s", "s"], ["t"])]
    body = helper.make_graph(steps, "body", [number, more[0], state[0]], [more[1], state[1]])
    loop = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    kinds: tuple[tuple[str, int, list[int]], ...]
    kinds = (("n", TensorProto.INT64, []), ("x", TensorProto.FLOAT, [1]), ("y", TensorProto.FLOAT, [1]))
    ends_of = [helper.make_tensor_value_info(*kind) for kind in kinds]
    graph = helper.make_graph([loop], "loop", ends_of[:2], ends_of[2:])
    path = tmp_path / "loop.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    session = open_native(path, OpenOptions(), replace(settings, loop_limit=5))
    feeds = {"n": np.array(trips), "x": np.ones(1, np.float32)}

    if ends:
        assert session.run(feeds)["y"].tolist() == [32]
    else:
        with pytest.raises(LimitError, match="trips"):
            session.run(feeds)
    session.close()


def enlarged_graph() -> Graph:
    """The maps of `rows_graph`, made twice as large by sizes that come from their shape, then convolved."""
    graph = rows_graph(32)
    *before, last = graph.nodes
    nodes = (
        *before,
        Node("Shape", ("rows",), ("shape",)),
        Node("Mul", ("shape", "factors"), ("sizes",)),
        Node("Resize", ("rows", "", "", "sizes"), ("large",), {"mode": "nearest"}),
        replace(last, inputs=("large", "w2")),
    )
    values = {**graph.values, "y": replace(graph.values["y"], shape=None)}
    return replace(graph, nodes=nodes, constants={**graph.constants, "factors": np.array([1, 1, 2, 2])}, values=values)


def test_what_stands_before_heavy_operators_runs_at_once(settings: Settings, tmp_path: Path) -> None:
    """Only heavy operators and the sizes they need are analysed anew for every number of boxes."""
    with opened(tmp_path, enlarged_graph(), settings) as session:
        stage = session.stage_for({"x": (1, 3, 16, 16)})
    assert stage is not None
    assert stage.rest is not None

    before, behind = look_ahead(stage.rest)

    assert before is not None
    assert behind is not None
    assert [node.op for node in before.nodes] == ["Shape", "Concat", "Expand", "Shape", "Mul"]
    assert [node.op for node in behind.nodes] == ["Shape", "Mul", "Resize", "Conv"]
    assert [value.name for value in behind.inputs] == ["rows"]


def test_sizes_that_follow_from_other_sizes_do_not_cut_again(settings: Settings, tmp_path: Path) -> None:
    """They fold once the first ones are known: resizing and convolution are one part, compiled."""
    graph = enlarged_graph()
    feeds = {"x": image(16, 16, 40)}

    with opened(tmp_path, graph, settings) as session:
        found = arrays(session.run(feeds))

        assert session.open_plans == 1
    assert found["y"].shape == (40, 32, 16, 16)
    assert_close(found, evaluate_graph(prepare_reference(graph), feeds))
