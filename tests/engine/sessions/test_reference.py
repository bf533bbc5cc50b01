from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
from support.pass_graphs import GraphBuilder

from alula.base.errors import InputError, ShapeError, UnsupportedError
from alula.base.session import Session
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.sessions.reference import ReferenceSession, prepare_reference


def _graph() -> Graph:
    """y = x + 1 over [N, 2], and z, the sum over N."""
    builder = GraphBuilder(shape=(1, 2))
    y = builder.node("Add", "x", builder.constant(1))
    z = builder.node("ReduceSum", y, builder.constant(np.array([0], np.int64)), keepdims=0)
    x = Value("x", DType.FLOAT32, (symbol("N"), 2))
    return replace(builder.build(y, z), inputs=(x,), values={"x": x})


@pytest.fixture
def session() -> ReferenceSession:
    """A session over `_graph`."""
    return ReferenceSession(prepare_reference(_graph()))


def test_it_is_a_session_with_symbolic_ends(session: ReferenceSession) -> None:
    """Whoever serves models sees no difference between providers."""
    assert isinstance(session, Session)
    assert session.inputs == (TensorSpec("x", DType.FLOAT32, ("N", 2)),)
    assert session.outputs == (TensorSpec("v0", DType.FLOAT32, ("N", 2)), TensorSpec("v1", DType.FLOAT32, (2,)))


@pytest.mark.parametrize("rows", [1, 3])
def test_every_run_may_have_another_size(session: ReferenceSession, rows: int) -> None:
    """Symbols take their numbers from the inputs."""
    results = session.run({"x": np.full((rows, 2), 2, np.float32)})

    assert results["v0"].tolist() == [[3.0, 3.0]] * rows
    assert results["v1"].tolist() == [3.0 * rows] * 2


def test_bytes_and_tensors_go_in(session: ReferenceSession) -> None:
    """Callers without numpy bring bytes; one unknown dimension follows from their number."""
    data = np.array([[1, 2], [3, 4]], np.float32).tobytes()

    from_bytes = session.run({"x": data})
    from_tensor = session.run({"x": Tensor(data, DType.FLOAT32, (2, 2))})

    assert from_bytes["v0"].tolist() == from_tensor["v0"].tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_results_go_into_the_caller_s_memory(session: ReferenceSession) -> None:
    """What the caller brings is filled, and handed back."""
    target = np.zeros(2, np.float32)

    results = session.run({"x": np.ones((1, 2), np.float32)}, {"v1": target})

    assert target.tolist() == [2.0, 2.0]
    assert np.shares_memory(np.asarray(results["v1"]), target)


def test_results_outlive_the_next_run(session: ReferenceSession) -> None:
    """The truth is kept to be compared with."""
    first = session.run({"x": np.zeros((1, 2), np.float32)})["v0"]
    session.run({"x": np.ones((1, 2), np.float32)})

    assert first.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "got only nothing"),
        ({"x": np.zeros((1, 3), np.float32)}, r"got float32 \[1, 3\]"),
        ({"x": np.zeros((1, 2), np.float64)}, r"got float64 \[1, 2\]"),
        ({"x": np.zeros(2, np.float32)}, r"got float32 \[2\]"),
        ({"x": bytes(12)}, "got 12 bytes without a shape"),
        ({"x": bytes(8), "image": bytes(8)}, "there is no image"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(session: ReferenceSession, inputs: dict[str, object], message: str) -> None:
    """An error that names the input, not one from inside numpy."""
    with pytest.raises(InputError, match=message):
        session.run(inputs)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"logits": bytearray(8)}, "there is no logits"),
        ({"v1": bytearray(4)}, "needs 8 bytes, the buffer has 4"),
        ({"v0": bytearray(4)}, "needs 8 bytes, the buffer has 4"),
        ({"v1": bytes(8)}, "it is read-only"),
    ],
)
def test_output_buffers_that_do_not_fit_are_refused(
    session: ReferenceSession, outputs: dict[str, object], message: str
) -> None:
    """Writing part of a result, or beyond a buffer, would be found much later."""
    with pytest.raises(InputError, match=message):
        session.run({"x": np.zeros((1, 2), np.float32)}, outputs)


def test_one_symbol_is_one_number() -> None:
    """Two inputs of one batch size must come in one batch size."""
    builder = GraphBuilder(shape=(1,))
    builder.node("Neg", "x")
    ends = tuple(Value(name, DType.FLOAT32, (symbol("N"),)) for name in ("x", "other"))
    session = ReferenceSession(prepare_reference(replace(builder.build(), inputs=ends)))

    with pytest.raises(InputError, match="needs N = 2, got 3"):
        session.run({"x": np.zeros(2, np.float32), "other": np.zeros(3, np.float32)})


def test_a_fork_outlives_its_parent_and_a_closed_session_refuses(session: ReferenceSession) -> None:
    """Each caller closes what it opened, and nothing else."""
    fork = session.fork()
    with session:
        pass
    session.close()

    assert fork.run({"x": np.zeros((1, 2), np.float32)})["v1"].tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="it has been closed"):
        session.run({"x": np.zeros((1, 2), np.float32)})
    with pytest.raises(InputError, match="it has been closed"):
        session.fork()


def test_shapes_bind_symbols_and_are_checked() -> None:
    """A model may be prepared for one size only."""
    assert prepare_reference(_graph(), {"x": (4, 2)}).inputs[0].shape == (4, 2)
    with pytest.raises(ShapeError, match="needs a shape that fits"):
        prepare_reference(_graph(), {"x": (4, 3)})


def test_a_model_file_opens_and_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    """What cannot be run is said when a model is opened, not when it is first asked."""
    for name in ("Relu", "Mystery"):
        ends = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, [2]) for end in ("x", "y")]
        graph = onnx.helper.make_graph([onnx.helper.make_node(name, ["x"], ["y"])], "g", ends[:1], ends[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())

    opened = ReferenceSession.open(tmp_path / "Relu.onnx")

    assert opened.run({"x": np.array([-1, 2], np.float32)})["y"].tolist() == [0.0, 2.0]
    with pytest.raises(UnsupportedError, match="Mystery"):
        ReferenceSession.open(tmp_path / "Mystery.onnx")
