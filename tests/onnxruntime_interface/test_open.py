from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.small_models import floats, save

X = np.ones((2, 3), np.float32)


def options_of(ort: Any, **changes: Any) -> Any:
    """Session options with some attributes set."""
    options = ort.SessionOptions()
    for name, value in changes.items():
        setattr(options, name, value)
    return options


def test_a_model_opens_from_a_path_or_from_bytes(ort: Any, model: Path) -> None:
    """Bytes are what comes out of archives and databases."""
    sources = [str(model), model, model.read_bytes()]

    results = [
        ort.InferenceSession(source, None, ["CPUExecutionProvider"]).run(["sum"], {"x": X})[0] for source in sources
    ]

    assert all(np.array_equal(result, [[2, -1, 4]] * 2) for result in results)


@pytest.mark.parametrize("providers", [None, ["CPUExecutionProvider"], [("CPUExecutionProvider", {})]], ids=str)
def test_the_processor_is_always_there(ort: Any, model: Path, providers: Any) -> None:
    """A list of providers may end with the processor, with options or without."""
    assert ort.InferenceSession(str(model), providers=providers).get_providers()[-1] == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("content", "kind"), [(None, "NoSuchFile"), (b"garbage!" * 9, "InvalidProtobuf")], ids=["no file", "no model"]
)
def test_what_is_no_model_is_refused(ort: Any, tmp_path: Path, content: bytes | None, kind: str) -> None:
    """Scripts that look for a model tell these two apart."""
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Exception) as caught:  # noqa: PT011  the class is compared by its name
        ort.InferenceSession(str(path))

    assert type(caught.value).__name__ == kind


def test_another_kind_of_source_is_a_type_error(ort: Any) -> None:
    """A number is no path."""
    with pytest.raises(TypeError):
        ort.InferenceSession(5)


@pytest.mark.parametrize("domain", ["", "mine"])
def test_an_unknown_operator_is_refused_when_opening(ort: Any, tmp_path: Path, domain: str) -> None:
    """Also where shapes are open: the first request must not be what finds out."""
    nodes = [helper.make_node("Fooz", ["x"], ["y"], domain=domain)]
    path = save(tmp_path / "u.onnx", nodes, [floats("x", "N")], [floats("y", "N")])

    with pytest.raises(Exception, match="Fooz"):
        ort.InferenceSession(str(path))


def test_shapes_that_contradict_each_other_fail_when_opening(ort: Any, tmp_path: Path) -> None:
    """[2, 3] times [4, 2] has no result."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save(tmp_path / "c.onnx", nodes, [floats("x", 2, 3), floats("w", 4, 2)], [floats("y", 2, 2)])

    with pytest.raises(Exception, match="MatMul") as caught:
        ort.InferenceSession(str(path))

    assert type(caught.value).__name__ == "Fail"


def test_a_session_tells_of_its_ends(ort: Any, tmp_path: Path) -> None:
    """A fixed dimension is a number, a symbolic one its name, one without a name None."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "r.onnx", nodes, [floats("x", "batch", None, 3)], [floats("y", "batch", None, 3)])
    session = ort.InferenceSession(str(path))

    ends = [(end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())]

    assert ends == [(name, "tensor(float)", ["batch", None, 3]) for name in ("x", "y")]
    assert session.get_overridable_initializers() == []


def test_a_session_tells_of_its_model(session: Any) -> None:
    """Labels and versions travel in the file."""
    meta = session.get_modelmeta()

    assert (meta.producer_name, meta.graph_name, meta.domain, meta.version) == ("tests", "adder", "org.example", 7)
    assert (meta.description, dict(meta.custom_metadata_map)) == ("adds", {"labels": "cat,dog"})


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_every_level_of_optimisation_gives_the_same(ort: Any, model: Path, level: str) -> None:
    """Scripts switch passes off to look for a difference."""
    options = options_of(
        ort, graph_optimization_level=ort.GraphOptimizationLevel.__members__[level], intra_op_num_threads=2
    )

    session = ort.InferenceSession(str(model), options)

    assert np.array_equal(session.run(["sum"], {"x": X})[0], [[2, -1, 4]] * 2)
    assert session.get_session_options().graph_optimization_level == ort.GraphOptimizationLevel.__members__[level]


def test_a_free_dimension_takes_its_size_when_opening(ort: Any, model: Path) -> None:
    """The session then takes that size alone."""
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("N", 4)
    session = ort.InferenceSession(str(model), options)

    assert [end.shape for end in session.get_inputs()] == [[4, 3]]
    assert session.run(["sum"], {"x": np.ones((4, 3), np.float32)})[0].shape == (4, 3)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        session.run(None, {"x": X})


def test_the_size_of_an_unknown_dimension_has_no_effect(ort: Any, model: Path) -> None:
    """One set of options serves several models."""
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("other", 4)

    assert [end.shape for end in ort.InferenceSession(str(model), options).get_inputs()] == [["N", 3]]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("graph_optimization_level", 3, TypeError),
        ("intra_op_num_threads", "2", TypeError),
        ("intra_op_threads", 2, AttributeError),
    ],
)
def test_a_misspelt_option_is_refused(ort: Any, name: str, value: Any, kind: type[Exception]) -> None:
    """It would be an option that silently has no effect."""
    with pytest.raises(kind):
        options_of(ort, **{name: value})


def test_entries_are_read_back(ort: Any) -> None:
    """Keys are free text; one that is not there is an error."""
    session, run = ort.SessionOptions(), ort.RunOptions()
    session.add_session_config_entry("session.set_denormal_as_zero", "1")
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    assert session.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert run.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"
    for read in (session.get_session_config_entry, run.get_run_config_entry):
        with pytest.raises(RuntimeError, match="other"):
            read("other")


def test_a_library_of_operators_that_is_not_there_fails(ort: Any) -> None:
    """alula refuses every one: it runs no foreign code."""
    with pytest.raises(Exception, match=r"FAIL.*/nope\.so"):
        ort.SessionOptions().register_custom_ops_library("/nope.so")


def test_the_process_tells_of_itself(ort: Any) -> None:
    """Scripts ask before they choose."""
    assert ort.get_device() == "CPU"
    assert "CPUExecutionProvider" in ort.get_available_providers()
    assert ort.get_version_string() == ort.__version__
    assert ort.OrtDevice.make("cpu", 0).device_type() == 0
    ort.set_default_logger_severity(3)


@pytest.mark.parametrize("path", ["capi._pybind_state", "capi.onnxruntime_pybind11_state"])
def test_exceptions_are_found_at_both_paths(ort: Any, path: str) -> None:
    """Scripts import them from either."""
    assert pytest.importorskip(f"{ort.__name__}.{path}").InvalidArgument.__name__ == "InvalidArgument"
