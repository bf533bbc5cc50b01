from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, prepared
from support.planned import assert_close

import alula
from alula.base.errors import InputError, MissingError, RequestError, UnsupportedError
from alula.base.session import OpenOptions
from alula.base.settings import Settings, read_settings
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.sessions.compiler import CompileOptions, import_model
from alula.engine.sessions.native import SpecialisingSession, open_native, random_input
from alula.engine.sessions.opener import open_model
from alula.engine.sessions.reference import prepare_reference


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cache of its own, one thread."""
    return read_settings({"ALULA_CACHE": str(tmp_path / "cache"), "ALULA_JOBS": "1", "ALULA_THREADS": "1"})


def fixed(folder: Path) -> tuple[Path, Graph]:
    """A model of fixed shapes."""
    b = GraphBuilder(shape=(1, 3, 6, 6))
    b.node("Relu", b.conv("x", 3, 8))
    source = replace(b.build(), values={"v1": Value("v1", DType.FLOAT32, (1, 8, 6, 6)), **b.build().values})
    write_onnx(source, folder / "fixed.onnx", NEWEST_OPSET)
    return folder / "fixed.onnx", source


def symbolic(folder: Path) -> Path:
    """A model over [N, 3, H, H]."""
    b = GraphBuilder(shape=(1, 3, 6, 6))
    b.node("Relu", b.conv("x", 3, 8))
    x = Value("x", DType.FLOAT32, (symbol("N"), 3, symbol("H"), symbol("H")))
    y = Value("v1", DType.FLOAT32, (symbol("N"), 8, symbol("H"), symbol("H")))
    source = replace(b.build(), inputs=(x,), values={"x": x, "v1": y})
    write_onnx(source, folder / "symbolic.onnx", NEWEST_OPSET)
    return folder / "symbolic.onnx"


def plans_in(settings: Settings) -> list[Path]:
    """The files of the cache."""
    return sorted((settings.cache / "plans").glob("*.alula"))


def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(settings: Settings, tmp_path: Path) -> None:
    """A service account without a home must learn which folder is meant."""
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(MissingError, match=r"needs a folder for compiled plans.*\n.*ALULA_CACHE"):
        open_native(fixed(tmp_path)[0], OpenOptions(), settings)


def test_a_plan_that_another_process_removes_is_made_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes with other bounds share a cache: one may remove what this one has just written."""
    path, _ = fixed(tmp_path)
    removed: list[str] = []

    def bound(folder: Path, most: int, keep: Path) -> None:
        del folder, most
        if not removed:
            removed.append(keep.name)
            keep.unlink()

    monkeypatch.setattr("alula.engine.sessions.plans.bound_cache", bound)

    session = open_native(path, OpenOptions(), settings)

    assert removed
    assert session.run({"x": np.zeros((1, 3, 6, 6), np.float32)})


def test_what_cannot_run_is_refused_before_shapes_are_known(settings: Settings, tmp_path: Path) -> None:
    """A model of open shapes is compiled at its first run; whether it can be is known when it is opened."""
    path = symbolic(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"Relu", b"Rulu"))

    with pytest.raises(UnsupportedError, match="Rulu"):
        open_native(path, OpenOptions(), settings)


@pytest.mark.parametrize("damage", [b"", b"no plan", None], ids=["empty", "other", "one_byte"])
def test_a_damaged_plan_in_the_cache_is_made_anew(damage: bytes | None, settings: Settings, tmp_path: Path) -> None:
    """A half-written or damaged file must not stop a model from opening until someone cleans up by hand."""
    path, source = fixed(tmp_path)
    open_native(path, OpenOptions(), settings).close()
    (plan,) = plans_in(settings)
    good = plan.read_bytes()
    plan.write_bytes(good[:-5000] + b"\xff" + good[-4999:] if damage is None else damage)

    session = open_native(path, OpenOptions(), settings)

    feeds = {"x": random_input(session.inputs[0])}
    found = {name: np.asarray(tensor) for name, tensor in session.run(feeds).items()}
    assert_close(found, evaluate_graph(prepared(source), feeds))
    assert plans_in(settings) == [plan]
    assert plan.read_bytes() == good


def test_two_processes_may_compile_the_same_model_at_once(settings: Settings, tmp_path: Path) -> None:
    """Both get a whole plan; no half-written file is ever seen."""
    path, _ = fixed(tmp_path)
    program = "import sys, alula; s = alula.open(sys.argv[1]); print(s.run({'x': bytes(432)})['v1'].shape)"
    environment = {**os.environ, "ALULA_CACHE": str(settings.cache), "ALULA_JOBS": "1"}
    command = [sys.executable, "-c", program, str(path)]

    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]

    assert answers == ["(1, 8, 6, 6)"] * 2
    assert len(plans_in(settings)) == 1
    assert [file for file in (settings.cache / "plans").iterdir() if file.suffix != ".alula"] == []


def test_symbols_are_bound_by_each_runs_inputs(settings: Settings, tmp_path: Path) -> None:
    """One plan for each combination of shapes, and the right one each time."""
    path = symbolic(tmp_path)
    source = prepare_reference(import_model(path))

    with contextlib.closing(open_native(path, OpenOptions(), settings)) as session:
        for shape in ((1, 3, 6, 6), (2, 3, 5, 5), (1, 3, 6, 6)):
            feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
            found = {name: np.asarray(tensor) for name, tensor in session.run(feeds).items()}
            assert_close(found, evaluate_graph(source, feeds))

    assert len(plans_in(settings)) == 2


def test_shapes_given_when_opening_bind_the_symbols(settings: Settings, tmp_path: Path) -> None:
    """Everything is compiled before the first run."""
    session = open_native(symbolic(tmp_path), OpenOptions(shapes={"x": (2, 3, 4, 4)}), settings)

    assert [spec.shape for spec in session.inputs] == [(2, 3, 4, 4)]
    assert len(plans_in(settings)) == 1
    session.close()


@pytest.mark.parametrize("data", [bytes(432), np.zeros((1, 4, 6, 6), np.float32), np.zeros((3, 6, 6), np.float32)],
                         ids=["bytes", "channels", "rank"])  # fmt: skip
def test_inputs_that_cannot_bind_the_symbols_are_refused(data: object, settings: Settings, tmp_path: Path) -> None:
    """The message says what is needed; nothing is compiled for a wrong shape."""
    session = open_native(symbolic(tmp_path), OpenOptions(), settings)

    with pytest.raises(InputError, match="input x"):
        session.run({"x": data})

    assert plans_in(settings) == []


def test_missing_inputs_of_symbolic_models_are_named(settings: Settings, tmp_path: Path) -> None:
    """Not an error about shapes that nobody gave."""
    session = open_native(symbolic(tmp_path), OpenOptions(), settings)

    with pytest.raises(InputError, match="input x"):
        session.run({})


def test_few_specialised_plans_stay_open(settings: Settings, tmp_path: Path) -> None:
    """A client that sends every size must not fill the memory."""
    session = open_native(symbolic(tmp_path), OpenOptions(), settings)
    assert isinstance(session, SpecialisingSession)

    for size in range(3, 13):
        session.run({"x": np.zeros((1, 3, size, size), np.float32)})

    assert session.open_plans == 8
    session.close()


def test_a_fork_answers_as_the_first(settings: Settings, tmp_path: Path) -> None:
    """Forks serve concurrent callers; each has results of its own."""
    session = open_native(symbolic(tmp_path), OpenOptions(), settings)
    feeds = {"x": np.ones((1, 3, 4, 4), np.float32)}

    first, second = session.run(feeds)["v1"], session.fork().run(feeds)["v1"]

    assert np.asarray(first).tobytes() == np.asarray(second).tobytes()


def test_providers_that_do_not_exist_are_named(settings: Settings, tmp_path: Path) -> None:
    """The message lists those that do."""
    path, _ = fixed(tmp_path)
    options = OpenOptions(provider="magic")  # type: ignore[arg-type]

    with pytest.raises(RequestError, match="native, reference, onnxruntime"):
        open_model(path, options, settings)


@pytest.mark.parametrize("provider", ["native", "reference", "onnxruntime"])
def test_a_model_that_is_not_there_is_missing(provider: str, tmp_path: Path) -> None:
    """Every provider says the same of a wrong path."""
    with pytest.raises(MissingError, match=r"nowhere\.onnx"):
        alula.open(tmp_path / "nowhere.onnx", OpenOptions(provider=provider))  # type: ignore[arg-type]


def test_compile_options_name_the_target(settings: Settings, tmp_path: Path) -> None:
    """A target that is no target is refused before anything is read twice."""
    path, _ = fixed(tmp_path)

    with pytest.raises(alula.AlulaError, match="target"):
        open_native(path, OpenOptions(target="z80"), settings)
    assert CompileOptions().target == ""


def test_a_closed_session_refuses_to_run(settings: Settings, tmp_path: Path) -> None:
    """It must not quietly compile and open everything again."""
    session = open_native(symbolic(tmp_path), OpenOptions(), settings)
    session.close()

    with pytest.raises(InputError, match="closed"):
        session.run({"x": np.zeros((1, 3, 4, 4), np.float32)})
