"""ONNX Runtime's own operators against ONNX Runtime, by reference and compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from support.planned import planned, results_of
from support.problem import reals
from support.problems_microsoft import PROBLEMS, Foreign
from support.problems_quantised import bytes_of

from alula.base.errors import UnsupportedError
from alula.engine.graph.nodes import Array
from alula.engine.importers.onnx import read_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.records import HostStep
from alula.engine.sessions.reference import prepare_reference


def _model(problem: Foreign) -> bytes:
    names = ["" if array is None else f"x{index}" for index, array in enumerate(problem.inputs)]
    results = [f"y{index}" if index in problem.shown else "" for index in range(max(problem.shown) + 1)]
    node = helper.make_node(problem.op, names, results, domain=problem.domain, **problem.attributes)
    arrays = {name: array for name, array in zip(names, problem.inputs, strict=True) if array is not None}
    fed = _fed(problem)
    ends = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in fed.items()]
    graph = helper.make_graph(
        [node], "problem", ends, [onnx.ValueInfoProto(name=name) for name in results if name],
        [numpy_helper.from_array(array, name) for name, array in arrays.items() if name not in fed],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def _fed(problem: Foreign) -> dict[str, Array]:
    """The first input; all of them where none is to be stored."""
    arrays = {f"x{index}": array for index, array in enumerate(problem.inputs) if array is not None}
    return {"x0": arrays["x0"]} if problem.constants else arrays


def _judged(model: bytes, feeds: Mapping[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, (np.asarray(array) for array in session.run(names, dict(feeds))), strict=True))


def _assert_agrees(found: Mapping[str, Array], wanted: Mapping[str, Array], steps: int) -> None:
    for name, want in wanted.items():
        got = np.asarray(found[name])
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        if want.dtype.kind in "iu":
            assert np.abs(got.astype(np.int64) - want.astype(np.int64)).max() <= steps, name
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_what_it_is_rewritten_to_agrees_with_onnx_runtime(problem: Foreign, tmp_path: Path) -> None:
    """Models that ONNX Runtime optimised or quantised give what ONNX Runtime gives, by reference and compiled."""
    model, feeds = _model(problem), _fed(problem)
    wanted = _judged(model, feeds)
    graph = prepare_reference(read_onnx(model))

    _assert_agrees(evaluate_graph(graph, feeds), wanted, problem.steps)
    _assert_agrees(results_of(planned(read_onnx(model)), tmp_path, feeds), wanted, problem.steps)


# Heads that are turned or have a past, lengths in the place of masks: steps that numpy does.
_ON_HOST = {"Attention", "MultiHeadAttention", "QAttention", "RotaryEmbedding"}


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.op not in _ON_HOST], ids=str)
def test_what_it_is_rewritten_to_runs_in_generated_code(problem: Foreign) -> None:
    """Rewriting is worth it because standard operators have kernels: no step is left to numpy."""
    plan = planned(read_onnx(_model(problem)))

    assert [step.label for step in plan.steps if isinstance(step, HostStep)] == []


def test_group_norm_of_channels_last_is_the_standards_between_two_transposes() -> None:
    """onnxruntime has GroupNorm for GPUs alone; by hand: a group is normalised over its channels and all pixels."""
    x, scale, shift = reals(2, 3, 5, 8), reals(8), reals(8, low=-1.0)
    attributes = {"groups": 4, "activation": 1, "epsilon": 1e-3}
    graph = prepare_reference(read_onnx(_model(Foreign("GroupNorm", (x, scale, shift), attributes))))

    found = evaluate_graph(graph, {"x0": x})["y0"]

    grouped = x.reshape(2, 15, 4, 2)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    normal = (centred / np.sqrt((centred**2).mean((1, 3), keepdims=True) + 1e-3)).reshape(x.shape) * scale + shift
    np.testing.assert_allclose(found, normal / (1 + np.exp(-normal)), rtol=1e-4, atol=1e-5)


def test_an_lstm_of_quantised_weights_is_the_lstm_of_what_they_stand_for() -> None:
    """ONNX Runtime quantises what the weights meet as well, which costs accuracy; alula does not."""
    x, scales = reals(5, 2, 6), (reals(1, 12, low=0.01) / 90, reals(1, 12, low=0.02) / 90)
    w, r = bytes_of(np.uint8, 1, 6, 12), bytes_of(np.uint8, 1, 3, 12)
    zero = np.full((1, 12), 120, np.uint8)
    real = [
        ((q.astype(np.float32) - 120) * s[:, np.newaxis]).swapaxes(1, 2) for q, s in zip((w, r), scales, strict=True)
    ]
    inputs = (x, w, r, reals(1, 24), None, None, None, None, scales[0], zero, scales[1], zero)
    stored = Foreign("DynamicQuantizeLSTM", inputs, {"hidden_size": 3}, (0, 1, 2))
    plain = Foreign("LSTM", (x, *real, inputs[3]), {"hidden_size": 3}, (0, 1, 2), domain="")

    found = evaluate_graph(prepare_reference(read_onnx(_model(stored))), {"x0": x})

    _assert_agrees(found, _judged(_model(plain), {"x0": x}), 0)


def test_nodes_of_one_name_do_not_meet() -> None:
    """Names of nodes may repeat in a file: what a rewriting makes is called after outputs, which are unique."""
    x = reals(2, 5, 8)
    model = onnx.load_from_string(_model(Foreign("MultiHeadAttention", (x, x, x), {"num_heads": 2}, (0, 1))))
    first = model.graph.node[0]
    second = model.graph.node.add()
    second.CopyFrom(first)
    second.input[0], second.output[:] = "y0", ["z0", "z1"]
    model.graph.output.append(onnx.ValueInfoProto(name="z0"))
    wanted = _judged(bytes(model.SerializeToString()), {"x0": x})  # which refuses names that repeat
    first.name = second.name = "twice"

    found = evaluate_graph(prepare_reference(read_onnx(bytes(model.SerializeToString()))), {"x0": x})

    _assert_agrees(found, wanted, 0)


_X, _W = reals(1, 4, 5, 5), reals(4, 4, 3, 3)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Foreign("FusedConv", (_X, _W), {"activation": "Sine"}), "activation must be one of .*it is Sine"),
        (Foreign("FusedMatMul", (_X, _X), {"transBatchA": 1}), "transBatchA and transBatchB must be 0"),
        (Foreign("Gelu", (_X,), {"exactly": 1}), "attributes of Gelu are: none, it has exactly"),
        (Foreign("BiasGelu", (_X, None)), "needs input bias, it is left out"),
        (Foreign("Gelu", (_X, _X)), "takes at most 1 inputs, it has 2"),
        (Foreign("SimplifiedLayerNormalization", (_X, _X), {}, (0, 1), domain=""), "must have one output"),
        (Foreign("SkipSimplifiedLayerNormalization", (_X, _X, _X), {}, (0, 2)), "result and sum alone"),
        (Foreign("RotaryEmbedding", (_X, _X, _X, _X), {"scale": 2.0}), "is_packed_batching must be 0 and scale 1"),
        (Foreign("MultiHeadAttention", (_X,), {"num_heads": 2}), "packed in one"),
        (Foreign("Attention", (_X, _X), {"num_heads": 2, "do_rotary": 1}), "do_rotary .* must be 0"),
        (Foreign("MatMulNBits", (_X, _X, _X, None, _X), {"K": 1, "N": 1}), "groups must lie in order"),
        (Foreign("Conv", (_X, _W), domain="com.microsoft.nchwc"), "for one processor.*ORT_ENABLE_EXTENDED"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_forms_that_have_no_standard_counterpart_are_refused(problem: Foreign, message: str) -> None:
    """What would be computed otherwise than ONNX Runtime does is refused, with the reason."""
    model = onnx.load_from_string(_model(problem))
    model.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))

    with pytest.raises(UnsupportedError) as caught:
        prepare_reference(read_onnx(bytes(model.SerializeToString())))

    assert re.search(message, str(caught.value)), str(caught.value)
