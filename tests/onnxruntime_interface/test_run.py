from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.small_models import floats, save

X = np.array([[1, 1, 1], [0, 5, -4]], np.float32)
SUM = np.array([[2, -1, 4], [1, 3, -1]], np.float32)
POSITIVE = np.maximum(SUM, 0)


@pytest.mark.parametrize("names", [None, []], ids=["None", "empty"])
def test_no_names_ask_for_all_outputs(session: Any, names: list[str] | None) -> None:
    """Scripts write run(None, ...): the model's order is theirs."""
    positive, total = session.run(names, {"x": X})

    assert np.array_equal(positive, POSITIVE)
    assert np.array_equal(total, SUM)


@pytest.mark.parametrize("names", [["sum", "positive"], ["positive"], ["sum", "sum"]], ids="-".join)
def test_outputs_come_in_the_order_asked_for(session: Any, names: list[str]) -> None:
    """A list of names is a list of results, one for each."""
    expected = {"sum": SUM, "positive": POSITIVE}

    results = session.run(names, {"x": X})

    assert [np.array_equal(result, expected[name]) for name, result in zip(names, results, strict=True)] == [
        True
    ] * len(names)


def test_results_outlive_the_next_run(session: Any) -> None:
    """Arrays belong to the caller."""
    first = session.run(["sum"], {"x": X})[0]
    session.run(["sum"], {"x": X * 100})

    assert np.array_equal(first, SUM)


@pytest.mark.parametrize(
    "value", [np.ascontiguousarray(X.T).T, np.repeat(X, 2, axis=1)[:, ::2], X.tolist(), X[::-1][::-1]],
    ids=["transposed", "strided", "nested lists", "reversed"],
)  # fmt: skip
def test_inputs_may_lie_anyhow(session: Any, value: Any) -> None:
    """What numpy can walk through is taken, and lists of numbers become the input's type."""
    assert np.array_equal(session.run(["sum"], {"x": value})[0], SUM)


@pytest.mark.parametrize(
    ("feed", "kind"),
    [
        ({}, "ValueError"),
        ({"q": X}, "ValueError"),
        ({"x": X, "q": X}, "InvalidArgument"),
        ({"x": X.astype(np.float64)}, "InvalidArgument"),
        ({"x": X.astype(np.int32)}, "InvalidArgument"),
        ({"x": X[0]}, "InvalidArgument"),
        ({"x": np.ones((2, 4), np.float32)}, "InvalidArgument"),
    ],
    ids=["missing", "misspelt", "one more", "float64", "int32", "rank", "size"],
)
def test_a_misfit_input_raises_the_class_that_scripts_catch(session: Any, feed: dict[str, Any], kind: str) -> None:
    """Programs tell by the class what went wrong."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  the class is compared by its name
        session.run(None, feed)

    assert type(caught.value).__name__ == kind


@pytest.mark.parametrize(("names", "kind"), [(["q"], "InvalidArgument"), ("sum", "TypeError")])
def test_a_misfit_output_name_is_refused(session: Any, names: Any, kind: str) -> None:
    """A text in place of a list would ask for one output a letter."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  the class is compared by its name
        session.run(names, {"x": X})

    assert type(caught.value).__name__ == kind


def test_the_exceptions_are_where_scripts_import_them_from(ort: Any, session: Any) -> None:
    """`except` clauses name classes of a module that is called as ONNX Runtime's."""
    state = pytest.importorskip(f"{ort.__name__}.capi.onnxruntime_pybind11_state")

    with pytest.raises(state.InvalidArgument, match=r"\[ONNXRuntimeError\] : 2 : INVALID_ARGUMENT"):
        session.run(["q"], {"x": X})


def test_threads_may_run_one_session_at_once(session: Any) -> None:
    """Servers share one session among their threads."""
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).standard_normal((2 + seed % 3, 3)).astype(np.float32)
        expected = x + np.array([1, -2, 3], np.float32)
        results = [session.run(["sum"], {"x": x})[0] for _ in range(20)]
        wrong.extend(seed for result in results if not np.array_equal(result, expected))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.parametrize(("value", "results", "problem"), [(X, 2, False), (X[0], 0, True)], ids=["fits", "misfit"])
def test_an_asynchronous_run_calls_back_once(session: Any, value: Any, results: int, *, problem: bool) -> None:
    """The callback gets the results or the error's text, and what the script handed in."""
    called: list[tuple[int, Any, bool]] = []
    done = threading.Event()

    def callback(found: Any, user_data: Any, error: str) -> None:
        called.append((len(found), user_data, bool(error)))
        done.set()

    session.run_async(None, {"x": value}, callback, "mine")

    assert done.wait(60)
    assert called == [(results, "mine", problem)]


def test_a_sequence_comes_as_a_list_of_arrays(ort: Any, tmp_path: Path) -> None:
    """Sequences have no array of their own."""
    sequence = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0)]
    session = ort.InferenceSession(str(save(tmp_path / "s.onnx", nodes, [floats("x", 4, 2)], [sequence])))

    (parts,) = session.run(None, {"x": np.ones((4, 2), np.float32)})

    assert isinstance(parts, list)
    assert [part.shape for part in parts] == [(1, 2)] * 4
    assert [(end.type, end.shape) for end in session.get_outputs()] == [("seq(tensor(float))", [])]


def test_strings_come_as_arrays_of_objects(ort: Any, tmp_path: Path) -> None:
    """Labels are text; numpy's own text type goes in too."""
    ends = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N"]) for name in ("x", "y")]
    session = ort.InferenceSession(
        str(save(tmp_path / "t.onnx", [helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:]))
    )

    (labels,) = session.run(None, {"x": np.array(["cat", "tabby cat"])})

    assert (labels.dtype, labels.tolist()) == (np.dtype(object), ["cat", "tabby cat"])
    assert session.get_inputs()[0].type == "tensor(string)"
