"""Seeds and structured mutants of models: one attribute, dimension, dtype, constant or name changed at a time.

In: the onnx library's node models and the tests' problems; a random generator. Out: ModelProtos that most often still
import.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.onnx_models import feeds_of, one_node_model
from support.operator_problems import PROBLEMS

# Where arithmetic on sizes, axes and counts goes wrong.
INTEGERS = (0, 1, -1, 2, 3, -2, 5, 7, 8, 16, 17, 31, 64, 127, 255, 1000, 65536, 1 << 31, (1 << 31) - 1, -(1 << 31),
            10**18, (1 << 62), (1 << 63) - 1, -(1 << 63))  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e-6, 1e6, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"))
_DIMS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64)
_LARGEST_SEED = 16384
_SMALL = 64
_NUMERIC = (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16,
            TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE,
            TensorProto.UINT32, TensorProto.UINT64, TensorProto.BFLOAT16)  # fmt: skip


def seeds() -> list[tuple[str, onnx.ModelProto]]:
    """Names and models: the official node models up to a size, their data as constants half the time, and problems."""
    from onnx.backend.test import loader  # noqa: PLC0415  the suite takes seconds to load

    found: list[tuple[str, onnx.ModelProto]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in loader.load_node_model_tests():
            if case.model is not None and case.model.ByteSize() <= _LARGEST_SEED:
                found.append((case.name, case.model))
                if case.data_sets:
                    found.append((f"{case.name} fixed", _with_constants(case.model, case.data_sets[0][0])))
    return found + _problems()


def _problems() -> list[tuple[str, onnx.ModelProto]]:
    found = []
    for each in PROBLEMS:
        model = one_node_model(each.op, each.inputs, each.attributes, opset=each.opset, outputs=each.outputs)
        if model.ByteSize() <= _LARGEST_SEED:
            found.append((str(each), _with_constants(model, list(feeds_of(each.inputs).values()))))
    return found


def _with_constants(model: onnx.ModelProto, arrays: Sequence[Any]) -> onnx.ModelProto:
    """A copy whose inputs, the first aside, are constants where they are small."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for info, array in list(zip(model.graph.input, arrays, strict=False))[1:]:
        if isinstance(array, np.ndarray) and array.size <= _SMALL * _SMALL and array.dtype.kind in "biuf":
            copied.graph.initializer.append(numpy_helper.from_array(array, info.name))
    return copied


def mutate(seed: onnx.ModelProto, rng: random.Random) -> onnx.ModelProto:
    """A copy with one to three changes."""
    model = onnx.ModelProto()
    model.CopyFrom(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_CHANGES)(model, rng)
    return model


def _node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    node: onnx.NodeProto = rng.choice(model.graph.node)
    return node


def _change_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if not node.attribute:
        _add_attribute(model, rng)
        return
    attribute = rng.choice(node.attribute)
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice((*INTEGERS, attribute.i + rng.choice((-1, 1))) if attribute.i < 1 << 62 else INTEGERS)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice(FLOATS)
    elif attribute.type == onnx.AttributeProto.INTS:
        _change_list(attribute.ints, INTEGERS, rng)
    elif attribute.type == onnx.AttributeProto.FLOATS:
        _change_list(attribute.floats, FLOATS, rng)
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = rng.choice((b"", b"x", b"\xff", b"linear", b"cubic", b"SAME_UPPER", b"reflect", b"ij,jk->ik"))
    else:
        node.attribute.remove(attribute)


def _change_list(values: Any, choices: Sequence[Any], rng: random.Random) -> None:
    kind = rng.randrange(6)
    if kind == 0 and values:
        del values[rng.randrange(len(values))]
    elif kind == 1:
        values.append(rng.choice(choices))
    elif kind == 2 and len(values) > 1:
        shuffled = rng.sample(list(values), len(values))
        del values[:]
        values.extend(shuffled)
    elif values:
        values[rng.randrange(len(values))] = rng.choice(choices)


def _add_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    """One that ONNX gives the operator, of any value; now and then of another type."""
    node = _node(model, rng)
    try:
        schema = onnx.defs.get_schema(node.op_type, 22, node.domain)
    except onnx.defs.SchemaError:
        return
    free = [a for a in schema.attributes.values() if a.name not in {b.name for b in node.attribute}]
    if not free:
        return
    chosen = rng.choice(free)
    values: dict[str, Callable[[], Any]] = {
        "INT": lambda: rng.choice(INTEGERS),
        "FLOAT": lambda: rng.choice(FLOATS),
        "INTS": lambda: [rng.choice(INTEGERS) for _ in range(rng.randrange(1, 5))],
        "FLOATS": lambda: [rng.choice(FLOATS) for _ in range(rng.randrange(1, 5))],
        "STRING": lambda: rng.choice(("", "reflect", "linear", "bilinear", "max", "add", "SAME_LOWER")),
    }
    kind = str(chosen.type).rpartition(".")[2] if rng.randrange(10) else rng.choice(list(values))
    if kind in values:
        node.attribute.append(helper.make_attribute(chosen.name, values[kind]()))


def _change_dim(model: onnx.ModelProto, rng: random.Random) -> None:
    info = rng.choice([*model.graph.input, *model.graph.output])
    shape = info.type.tensor_type.shape
    kind = rng.randrange(8)
    if kind == 0 and shape.dim:
        del shape.dim[rng.randrange(len(shape.dim))]
    elif kind == 1:
        shape.dim.add().dim_value = rng.choice(_DIMS)
    elif kind == 2 and shape.dim:
        rng.choice(shape.dim).dim_value = rng.choice((1 << 20, 1 << 31, 1 << 40, 10**15))
    elif shape.dim:
        rng.choice(shape.dim).dim_value = rng.choice(_DIMS)


def _change_dtype(model: onnx.ModelProto, rng: random.Random) -> None:
    info = rng.choice(model.graph.input) if model.graph.input else None
    if info is not None and info.type.HasField("tensor_type"):
        info.type.tensor_type.elem_type = rng.choice(_NUMERIC)


def _change_constant(model: onnx.ModelProto, rng: random.Random) -> None:
    if not model.graph.initializer:
        _change_dim(model, rng)
        return
    tensor = rng.choice(model.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    flat = array.reshape(-1)
    if flat.size and array.dtype.kind in "iu" and rng.randrange(4):
        bounds = np.iinfo(array.dtype)
        flat[rng.randrange(flat.size)] = min(max(rng.choice(INTEGERS), bounds.min), bounds.max)
    elif flat.size and array.dtype.kind == "f" and rng.randrange(4):
        with np.errstate(all="ignore"):
            flat[rng.randrange(flat.size)] = rng.choice(FLOATS)
    else:
        sizes = rng.choice(((), (0,), (1,), (flat.size,), (1, *array.shape), array.shape[1:], (2, flat.size)))
        array = np.resize(array, sizes).astype(array.dtype)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _change_names(model: onnx.ModelProto, rng: random.Random) -> None:
    """Inputs left out, doubled or exchanged; outputs left out."""
    node = _node(model, rng)
    kind = rng.randrange(5)
    if kind == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = ""
    elif kind == 1 and node.input:
        del node.input[-1]
    elif kind == 2 and node.input:
        node.input.append(rng.choice(list(node.input)))
    elif kind == 3 and len(node.input) > 1:
        node.input[rng.randrange(len(node.input))] = rng.choice(list(node.input))
    elif len(node.output) > 1:
        node.output[rng.randrange(len(node.output))] = ""


def _change_operator(model: onnx.ModelProto, rng: random.Random) -> None:
    _node(model, rng).op_type = rng.choice(_OPERATORS)


def _change_version(model: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(model.opset_import).version = rng.choice((1, 6, 7, 9, 10, 11, 12, 13, 16, 18, 20, 22, 24))


def _lose_shapes(model: onnx.ModelProto, rng: random.Random) -> None:
    """An output of unknown shape, or one that the file lies about."""
    info = rng.choice(model.graph.output)
    if rng.randrange(2):
        info.ClearField("type")
    elif info.type.HasField("tensor_type"):
        info.type.tensor_type.ClearField("shape")
        for _ in range(rng.randrange(5)):
            info.type.tensor_type.shape.dim.add().dim_value = rng.choice(_DIMS)


_OPERATORS = tuple(sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}))
_CHANGES: Sequence[Callable[[onnx.ModelProto, random.Random], None]] = (
    _change_attribute, _change_attribute, _change_attribute, _add_attribute, _change_dim, _change_dim, _change_dtype,
    _change_constant, _change_constant, _change_names, _change_operator, _change_version, _lose_shapes,
)  # fmt: skip
