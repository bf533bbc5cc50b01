"""One problem, every provider: what `Session` promises holds for all of them, and they agree on the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from support.convnets import ConvNet, conv_nets
from support.excuses import EXCUSES
from support.pass_graphs import GraphBuilder
from support.planned import assert_close

from alula.base.errors import InputError
from alula.base.session import OpenOptions, Session
from alula.base.settings import read_settings
from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.sessions.opener import open_model
from alula.engine.sessions.reference import prepare_reference

PROVIDERS = ("native", "reference", "onnxruntime")
# The newest operator set that the oldest supported ONNX Runtime knows.
OPSET = 21
FEEDS = {"x": np.random.default_rng(1).standard_normal((1, 3, 6, 6)).astype(np.float32)}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """Each provider that is installed."""
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime")
    return str(request.param)


@pytest.fixture
def session(provider: str, tmp_path: Path) -> Iterator[Session]:
    """A model with two outputs, opened."""
    b = GraphBuilder(shape=(1, 3, 6, 6), opset=OPSET)
    y = b.node("Relu", b.conv("x", 3, 8))
    b.node("Flatten", b.node("GlobalAveragePool", y))
    opened = opened_as(provider, saved(b.build(y, b.nodes[-1].output), tmp_path), tmp_path)
    yield opened
    opened.close()


def saved(graph: Graph, folder: Path) -> Path:
    """The graph as a file, its outputs described."""
    made = prepare_reference(replace(graph, opsets={"": OPSET}), {"x": static(graph.inputs[0].shape or ())})
    values = {name: made.values.get(name, Value(name, DType.FLOAT32, None)) for name in graph.outputs}
    path = folder / "model.onnx"
    write_onnx(replace(graph, values={**values, **graph.values}), path, OPSET)
    return path


def opened_as(provider: Any, path: Path, folder: Path, threads: int = 1) -> Session:
    """The model by a provider, with a cache of its own."""
    chosen = read_settings({"ALULA_CACHE": str(folder / "cache"), "ALULA_JOBS": "1"})
    return open_model(path, OpenOptions(provider=provider, threads=threads), chosen)


@settings(max_examples=15, deadline=None)
@given(conv_nets())
def test_all_providers_agree_on_any_network(
    tmp_path_factory: pytest.TempPathFactory, situation: tuple[ConvNet, Graph]
) -> None:
    """Rule: a provider is a way to compute, never another answer."""
    pytest.importorskip("onnxruntime")
    net, graph = situation
    folder = tmp_path_factory.mktemp("net")
    path, feeds = saved(graph, folder), net.feeds()

    answers = []
    for name in PROVIDERS:
        opened = opened_as(name, path, folder)
        answers.append({key: np.array(np.asarray(value)) for key, value in opened.run(feeds).items()})
        opened.close()

    for answer in answers:
        assert list(answer) == list(graph.outputs)
        assert_close(answer, answers[1])


def test_ends_are_described_alike(session: Session) -> None:
    """Rule: name, dtype and shape of inputs and outputs do not depend on who computes."""
    assert [str(spec) for spec in session.inputs] == ["x float32 [1, 3, 6, 6]"]
    assert [str(spec) for spec in session.outputs] == ["v1 float32 [1, 8, 6, 6]", "v3 float32 [1, 8]"]


@pytest.mark.parametrize("form", ["array", "bytes", "memoryview"])
def test_any_contiguous_buffer_is_an_input(form: str, session: Session) -> None:
    """Rule: bytes, memoryview and array of the same content give the same answer."""
    wanted = {name: np.array(np.asarray(value)) for name, value in session.run(FEEDS).items()}
    data = {"array": FEEDS["x"], "bytes": FEEDS["x"].tobytes(), "memoryview": memoryview(FEEDS["x"].tobytes())}[form]

    found = session.run({"x": data})

    assert {name: np.asarray(value).tobytes() for name, value in found.items()} == {
        name: array.tobytes() for name, array in wanted.items()
    }


def test_outputs_go_into_the_callers_buffers(session: Session) -> None:
    """Rule: a buffer that is handed in is filled, and is what comes back."""
    wanted = {name: np.array(np.asarray(value)) for name, value in session.run(FEEDS).items()}
    buffer = np.zeros((1, 8), np.float32)

    found = session.run(FEEDS, {"v3": buffer})

    assert buffer.tobytes() == wanted["v3"].tobytes()
    assert np.shares_memory(np.asarray(found["v3"]), buffer)
    assert np.asarray(found["v1"]).tobytes() == wanted["v1"].tobytes()


@pytest.mark.parametrize("inputs", [
    {}, {"y": FEEDS["x"]}, {**FEEDS, "y": FEEDS["x"]}, {"x": FEEDS["x"][:, :2]}, {"x": FEEDS["x"][0]},
    {"x": FEEDS["x"].astype(np.float64)}, {"x": bytes(431)}, {"x": bytes(428)},
], ids=["none", "misnamed", "too_many", "shape", "rank", "dtype", "ragged_bytes", "few_bytes"])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any], session: Session) -> None:
    """Rule: an InputError that names the input, and nothing has been computed."""
    with pytest.raises(InputError, match="input"):
        session.run(inputs)


@pytest.mark.parametrize("buffer", [np.zeros(7, np.float32), bytes(32)], ids=["small", "read_only"])
def test_buffers_that_cannot_be_filled_are_refused(buffer: Any, session: Session) -> None:
    """Rule: no byte is written beside a buffer that is too small or not ours to write."""
    with pytest.raises(InputError, match="output v3"):
        session.run(FEEDS, {"v3": buffer})


def test_threads_change_no_bit(provider: str, tmp_path: Path) -> None:
    """Rule: one model gives the same bits on every run, with any number of threads."""
    if reason := EXCUSES.get((provider, "threads change no bit")):
        pytest.skip(reason)
    net = ConvNet(1, 0)
    for part in ("conv", "depthwise", "grouped", "gated", "conv"):
        net.grow(part, 3)
    path, feeds = saved(net.graph(), tmp_path), net.feeds()

    answers = []
    for threads in (1, 2, 2):
        opened = opened_as(provider, path, tmp_path, threads)
        answers.append({name: np.asarray(value).tobytes() for name, value in opened.run(feeds).items()})
        opened.close()

    assert answers[0] == answers[1] == answers[2]


def test_a_fork_answers_the_same(session: Session) -> None:
    """Rule: a fork is the same model with memory of its own."""
    fork = session.fork()

    first, second = session.run(FEEDS), fork.run(FEEDS)

    assert np.asarray(first["v1"]).tobytes() == np.asarray(second["v1"]).tobytes()
    fork.close()


def test_a_closed_session_refuses(session: Session) -> None:
    """Rule: closing twice is harmless, running after it an InputError."""
    session.close()
    session.close()

    with pytest.raises(InputError):
        session.run(FEEDS)
