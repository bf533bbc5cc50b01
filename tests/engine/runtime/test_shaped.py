from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plans import plan, saved
from support.several import LENGTHS, SHARED, saved_several

import alula
from alula.base.errors import InputError
from alula.base.tensors import DType, Tensor
from alula.engine.runtime.file import open_file, read_header
from alula.engine.runtime.session import PlanSession, open_plan
from alula.engine.runtime.shaped import ShapedSession, open_session


def numbers(length: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An input."""
    return np.linspace(-1, 1, length, dtype=np.float32)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["array", "tensor", "bytes"])
def test_the_shape_of_the_input_chooses_the_plan(length: int, kind: str, tmp_path: Path) -> None:
    """One file answers for every shape that it was compiled for; bytes count by their size."""
    x = numbers(length)
    data = {"array": x, "tensor": Tensor(x, DType.FLOAT32, x.shape), "bytes": x.tobytes()}[kind]

    with open_session(saved_several(tmp_path)) as session:
        found = session.run({"x": data})["y"]

    assert found.shape == (length,)
    assert found.tolist() == (x + SHARED[:length]).tolist()


def test_every_plan_runs_in_any_order_and_again(tmp_path: Path) -> None:
    """Plans share code and weights, never memory that another one's run would spoil."""
    with alula.open(saved_several(tmp_path, range(1, 20))) as session:  # type: ignore[attr-defined]
        for length in (*range(1, 20), *range(19, 0, -1)):
            x = numbers(length)
            assert session.run({"x": x})["y"].tolist() == (x + SHARED[:length]).tolist()


def test_a_result_goes_into_the_callers_buffer(tmp_path: Path) -> None:
    """As with a file of one plan."""
    out = np.zeros(3, np.float32)

    with open_session(saved_several(tmp_path)) as session:
        session.run({"x": numbers(3)}, {"y": out})

    assert out.tolist() == (numbers(3) + SHARED[:3]).tolist()


@pytest.mark.parametrize("data", [numbers(4), numbers(12), numbers(8).reshape(2, 4), bytes(16), object()],
                         ids=["length", "length_like_bytes", "rank", "bytes", "no_buffer"])  # fmt: skip
def test_a_shape_that_is_not_inside_is_refused_by_name(data: object, tmp_path: Path) -> None:
    """The message says what is there, so that the right shape can be compiled."""
    with open_session(saved_several(tmp_path)) as session, pytest.raises(InputError) as caught:
        session.run({"x": data})

    assert "x [8]; x [3]; x [21]" in caught.value.needed
    assert "--shape" in caught.value.hint


@pytest.mark.parametrize("inputs", [{}, {"x": numbers(3), "z": numbers(3)}, {"z": numbers(3)}])
def test_wrong_names_are_refused(inputs: Mapping[str, Any], tmp_path: Path) -> None:
    """Before any plan is chosen."""
    with open_session(saved_several(tmp_path)) as session, pytest.raises(InputError, match=r"unknown: z|missing: x"):
        session.run(inputs)


def test_dimensions_in_which_plans_differ_are_symbolic(tmp_path: Path) -> None:
    """Callers see one model."""
    session = open_session(saved_several(tmp_path, extras={"labels.txt": b"cat"}))

    assert isinstance(session, ShapedSession)
    assert [str(spec) for spec in (*session.inputs, *session.outputs)] == ["x float32 [x.0]", "y float32 [y.0]"]
    assert session.extras == {"labels.txt": b"cat"}
    session.close()


def test_a_closed_session_refuses_and_its_fork_goes_on(tmp_path: Path) -> None:
    """A fork owns its memory."""
    session = open_session(saved_several(tmp_path))
    fork = session.fork()
    session.close()
    session.close()

    assert fork.run({"x": numbers(3)})["y"].shape == (3,)
    for use in (lambda: session.run({"x": numbers(3)}), session.fork):
        with pytest.raises(InputError, match="closed"):
            use()


def test_a_file_of_one_plan_opens_as_before(tmp_path: Path) -> None:
    """One door for both."""
    session = open_session(saved(tmp_path, plan()))

    assert isinstance(session, PlanSession)
    session.close()


def test_tools_open_one_plan_of_several_by_its_shapes(tmp_path: Path) -> None:
    """`bench` and `show` look at one plan at a time; without a shape they are told which there are."""
    path = saved_several(tmp_path)

    with open_plan(path, shapes={"x": (21,)}) as session:
        assert session.inputs[0].shape == (21,)
    with pytest.raises(InputError, match=r"x \[8\]; x \[3\]"):
        open_plan(path)
    with pytest.raises(InputError, match=r"got x \[4\]"):
        open_plan(path, shapes={"x": (4,)})


def test_equal_weights_of_several_plans_are_stored_once(tmp_path: Path) -> None:
    """Twenty widths of a model are not much larger than one."""
    file = open_file(saved_several(tmp_path))

    assert file.weights is not None
    assert file.weights[:] == SHARED.tobytes()


def test_the_header_of_each_plan_can_be_read_alone(tmp_path: Path) -> None:
    """Also of plans for other processors."""
    path = saved_several(tmp_path)

    assert [read_header(path, index).inputs[0].shape for index in range(3)] == [(8,), (3,), (21,)]
    assert [read_header(path, index).steps[0].units for index in range(3)] == [8, 3, 21]
