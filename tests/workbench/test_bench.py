from __future__ import annotations

from pathlib import Path

import pytest
from onnx import helper
from support.classifier import classifier_model, model_of, write_classifier

from alula.base.errors import RequestError, UnsupportedError
from alula.base.settings import Settings, read_settings
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model, no_progress
from alula.workbench.bench import BenchOptions, EngineResult, bench_model


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, over a cache of the test's own."""
    return read_settings({"ALULA_CACHE": str(tmp_path / "cache"), "ALULA_JOBS": "1"})


def test_figures_fit_together(tmp_path: Path, settings: Settings) -> None:
    """Order statistics in order, throughput and memory of a sensible size."""
    model = write_classifier(tmp_path).model

    (ours,) = bench_model(model, BenchOptions(seconds=0.1), settings, no_progress)

    figures = ours.figures
    assert figures is not None
    assert 0 < figures.best <= figures.median <= figures.p95
    assert 0 < figures.throughput <= 1 / figures.best
    assert (figures.ratio, figures.difference) == (1.0, 0.0)
    assert min(figures.load_seconds, figures.open_seconds, figures.first_seconds) > 0
    assert 1 << 20 < figures.peak_bytes < 1 << 30
    assert ours.record() == {"engine": "alula", **vars(figures)}


def test_memory_and_load_of_an_engine_hold_nothing_of_the_others(tmp_path: Path, settings: Settings) -> None:
    """A plan runs without numpy: its process must be smaller than one that has numpy and ONNX Runtime in it."""
    model = write_classifier(tmp_path).model

    ours, theirs = bench_model(model, BenchOptions(("onnxruntime",), seconds=0.1), settings, no_progress)

    assert ours.figures is not None
    assert theirs.figures is not None
    assert ours.figures.peak_bytes < theirs.figures.peak_bytes


def test_engine_that_fails_has_its_reason_and_the_others_their_figures(tmp_path: Path, settings: Settings) -> None:
    """Here the others read a file that is no model; alula has its plan."""
    model, plan, bad = write_classifier(tmp_path).model, tmp_path / "p.alula", tmp_path / "bad.onnx"
    compile_graph(import_model(model), plan, CompileOptions(jobs=1))
    bad.write_bytes(b"no model")
    options = BenchOptions(("onnxruntime", "openvino"), seconds=0.1, model=bad)

    ours, *others = bench_model(plan, options, settings, no_progress)

    assert ours.figures is not None
    assert [(other.engine, other.figures) for other in others] == [("onnxruntime", None), ("openvino", None)]
    assert all("needs a model that" in other.failure for other in others)
    assert others[0].record() == {"engine": "onnxruntime", "failure": others[0].failure}


def test_answers_that_differ_are_shown(tmp_path: Path, settings: Settings) -> None:
    """A comparison of engines that compute different things must not look like one of speed."""
    model, plan, other = write_classifier(tmp_path).model, tmp_path / "p.alula", tmp_path / "other.onnx"
    compile_graph(import_model(model), plan, CompileOptions(jobs=1))
    changed = classifier_model()
    changed.graph.node[1].op_type = "Sigmoid"
    other.write_bytes(changed.SerializeToString())

    _, theirs = bench_model(plan, BenchOptions(("onnxruntime",), seconds=0.1, model=other), settings, no_progress)

    assert theirs.figures is not None
    assert theirs.figures.difference > 0.1


def test_every_engine_knows_the_shapes_before_it_opens_the_model(tmp_path: Path, settings: Settings) -> None:
    """A model with a symbolic batch, measured at one batch: all engines take the same inputs and agree."""
    model = write_classifier(tmp_path, "N").model
    options = BenchOptions(("onnxruntime", "openvino"), seconds=0.1, shapes={"x": (4, 3, 8, 8)})

    results = bench_model(model, options, settings, no_progress)

    assert [result.failure for result in results] == ["", "", ""]
    assert all(result.figures is not None and result.figures.difference < 1e-5 for result in results)


def test_what_alula_cannot_do_ends_the_benchmark(tmp_path: Path, settings: Settings) -> None:
    """There is nothing to compare then; names of engines are checked before anything is compiled."""
    model = tmp_path / "m.onnx"
    model.write_bytes(model_of([helper.make_node("Twirl", ["x"], ["y"])], {}, {"x": [2], "y": [2]}).SerializeToString())

    with pytest.raises(UnsupportedError, match="cannot be run"):
        bench_model(model, BenchOptions(seconds=0.1), settings, no_progress)
    with pytest.raises(RequestError, match="got 'tvm'"):
        bench_model(model, BenchOptions(("tvm",)), settings, no_progress)


def test_failed_engine_in_a_record() -> None:
    """JSON has the reason in place of figures."""
    assert EngineResult("openvino", None, "not installed").record() == {
        "engine": "openvino",
        "failure": "not installed",
    }
