from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from alula.base.errors import AlulaError, PlanFileError
from alula.base.tensors import DType, Tensor
from alula.engine.runtime.header import HostCall
from alula.engine.sessions.host import run_host_step


def call(op: str, attributes: Mapping[str, Any] | None = None) -> HostCall:
    """What a plan says of a node; places are the runtime's business."""
    return HostCall(op, "", attributes or {}, "here", "no kernel", (), ())


def tensor(*numbers: float) -> Tensor:
    """A vector."""
    return Tensor(bytearray(np.array(numbers, np.float32).tobytes()), DType.FLOAT32, (len(numbers),))


def test_a_step_fills_the_planned_memory() -> None:
    """Results go where native steps read them."""
    out = tensor(0, 0, 0)

    run_host_step(call("Sub"), [tensor(5, 6, 7), tensor(1, 1, 2)], [out])

    assert np.asarray(out).tolist() == [4, 5, 5]


def test_an_input_that_is_left_out_keeps_its_place() -> None:
    """Clip without a lower bound has its upper bound third."""
    out = tensor(0, 0)
    bound = Tensor(np.float32(3).tobytes(), DType.FLOAT32, ())

    run_host_step(call("Clip"), [tensor(-5, 5), None, bound], [out])

    assert np.asarray(out).tolist() == [-5, 3]


def test_results_of_another_shape_than_planned_are_refused() -> None:
    """Attack: a plan whose shapes lie; numpy would stretch one number over all of the memory."""
    out = tensor(0, 0, 0)

    with pytest.raises(PlanFileError, match="here"):
        run_host_step(call("Relu"), [tensor(1)], [out])

    assert np.asarray(out).tolist() == [0, 0, 0]


@pytest.mark.parametrize("op", ["Nothing", "Concat"])
def test_steps_that_cannot_run_say_so(op: str) -> None:
    """Attack: operators that do not exist, or without what they need."""
    with pytest.raises(AlulaError, match="here"):
        run_host_step(call(op), [tensor(1)], [tensor(1)])
