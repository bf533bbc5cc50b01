"""What sessions over outside libraries share: buffers in, buffers out, checked as our own sessions check them.

In: specs and the caller's buffers. Out: numpy arrays for the library, tensors for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alula.base.errors import InputError
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.engine.graph.nodes import Array


def feeds_of(specs: Sequence[TensorSpec], inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The inputs as arrays; views where the caller's buffers allow.

    Raises:
        InputError: a name, dtype or shape does not fit.
    """
    unknown = sorted(set(inputs) - {spec.name for spec in specs})
    if unknown:
        raise InputError(
            f"input {unknown[0]}", f"inputs are {', '.join(spec.name for spec in specs)}", "it is not known"
        )
    return {spec.name: _array(spec, inputs) for spec in specs}


def _array(spec: TensorSpec, inputs: Mapping[str, Any]) -> Array:
    where, needed = f"input {spec.name}", f"needs {spec}"
    if spec.name not in inputs:
        raise InputError(where, needed, f"got only {', '.join(inputs) or 'nothing'}")
    data = inputs[spec.name]
    if isinstance(data, (np.ndarray, Tensor)):
        array = np.asarray(data)
    else:
        try:
            array = np.frombuffer(data, spec.dtype.value).reshape([d if isinstance(d, int) else -1 for d in spec.shape])
        except ValueError as error:
            raise InputError(where, needed, f"got {memoryview(data).nbytes} bytes ({error})") from None
    fits = len(array.shape) == len(spec.shape) and all(
        isinstance(want, str) or want == dim for want, dim in zip(spec.shape, array.shape, strict=True)
    )
    if not fits or array.dtype.name != spec.dtype.value:
        raise InputError(where, needed, f"got {array.dtype} {list(array.shape)}")
    return array


def tensors_of(
    specs: Sequence[TensorSpec], results: Iterable[Array], outputs: Mapping[str, Any] | None
) -> dict[str, Tensor]:
    """The results, copied into the caller's buffers where there are some.

    Raises:
        InputError: a buffer is read-only or of another size.
    """
    tensors = {}
    for spec, result in zip(specs, results, strict=True):
        data: Any = np.ascontiguousarray(result)
        target = (outputs or {}).get(spec.name)
        if target is not None:
            view = memoryview(target)
            if view.readonly or view.nbytes != data.nbytes:
                found = f"it is read-only: {view.readonly}, and has {view.nbytes} bytes"
                raise InputError(f"output {spec.name}", f"needs a writable buffer of {data.nbytes} bytes", found)
            view.cast("B")[:] = data.tobytes()
            data = target
        tensors[spec.name] = Tensor(data, DType(result.dtype.name), result.shape)
    return tensors
