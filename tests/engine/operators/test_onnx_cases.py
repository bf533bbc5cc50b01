"""The onnx library's own node tests, run through alula's references."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from support.onnx_models import graph_of

from alula.base.errors import AlulaError
from alula.base.tensors import DType
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import operator_named

# Cases that alula does not pass, each with its reason; a pattern that a passing case fits must be narrowed or go.
EXCUSES = {
    "test_batchnorm_*_training_mode": "training is not inference",
    "test_training_dropout_default*": "training is not inference",
    "test_training_dropout": "training is not inference",
    "test_training_dropout_mask": "training is not inference",
    "test_cast*_FLOAT_to_BFLOAT16*": "numpy has no bfloat16",
    "test_resize_*_cubic*": "cubic interpolation is refused",
    "test_resize_tf_crop_and_resize*": "tf_crop_and_resize is refused",
    "test_resize_*_linear_antialias": "antialiasing is refused",
}

_DTYPES = {dtype.value for dtype in DType}


def _is_ours(case: Any) -> bool:
    model = case.model
    if model is None or model.functions or not model.graph.node:
        return False
    ends = [*model.graph.input, *model.graph.output]
    kinds = [end.type.tensor_type.elem_type for end in ends if end.type.HasField("tensor_type")]
    known = all(operator_named(node.domain, node.op_type) for node in model.graph.node)
    return known and len(kinds) == len(ends) and all(_is_known_type(kind) for kind in kinds)


def _is_known_type(kind: int) -> bool:
    return kind != onnx.TensorProto.STRING and helper.tensor_dtype_to_np_dtype(kind).name in _DTYPES


def _cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from filter(_is_ours, collect_testcases(None))


def _failure(case: Any) -> str | None:
    """Why a case does not pass; None if it does."""
    try:
        graph = graph_of(case.model)
        for inputs, wanted in case.data_sets:
            names = (value.name for value in graph.inputs)
            feeds = {name: _array(data) for name, data in zip(names, inputs, strict=True)}
            got = evaluate_graph(graph, feeds)
            for name, want in zip(graph.outputs, wanted, strict=True):
                _compare(got[name], _array(want), case)
    except (AssertionError, AlulaError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _array(data: Any) -> np.ndarray:
    return numpy_helper.to_array(data) if isinstance(data, onnx.TensorProto) else np.asarray(data)


def _compare(got: np.ndarray, want: np.ndarray, case: Any) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)


def test_the_standards_own_node_cases_pass_except_the_excused() -> None:
    """Each operator means what the standard's own examples say; every excuse names a real gap."""
    failures = {case.name: _failure(case) for case in _cases()}

    failed = {name: reason for name, reason in failures.items() if reason}
    excused = {name for name in failures if any(fnmatch(name, pattern) for pattern in EXCUSES)}
    unused = [pattern for pattern in EXCUSES if not any(fnmatch(name, pattern) for name in failed)]
    assert len(failures) > 500
    assert {name: reason for name, reason in failed.items() if name not in excused} == {}
    assert sorted(excused - set(failed)) == []
    assert unused == []
