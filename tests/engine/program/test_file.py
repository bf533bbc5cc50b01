from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.plans import INPUT, OUTPUT, STEPS, WEIGHTS, host, plan, saved

from alula.base.errors import InternalError, LimitError, PlanFileError, UnsupportedError
from alula.engine.kernels.target import Target
from alula.engine.program.build import build_image, kernel_symbol
from alula.engine.program.file import write_plan
from alula.engine.program.weights import lay_out_weights
from alula.engine.runtime.file import open_file, read_header

ARM = Target("aarch64", 4, 32, fma=True, cpu="generic", features="+neon", triple="aarch64-unknown-linux-gnu")


def test_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    """Plans can be compared and cached by their hash."""
    first = saved(tmp_path, plan()).read_bytes()

    assert saved(tmp_path, plan()).read_bytes() == first


def test_parts_lie_on_page_borders_and_weights_on_64_bytes(tmp_path: Path) -> None:
    """Parts are mapped where they lie; kernels load whole vectors."""
    path = saved(tmp_path, plan(), {"a": b"1", "b": b""})
    file = open_file(path)
    offsets = lay_out_weights(plan().weights).offsets

    assert path.stat().st_size % 4096 == 0
    assert offsets == (0, 192)
    assert file.weights is not None
    assert file.weights[192 : 192 + WEIGHTS.nbytes] == (WEIGHTS * 2).tobytes()
    assert file.extras == {"a": b"1", "b": b""}


def test_equal_weights_are_stored_once() -> None:
    """Tied weights do not make a plan larger; a transposed array is stored in row-major order."""
    square = np.arange(16, dtype=np.float32).reshape(4, 4)

    layout = lay_out_weights((square, square, square.copy(), square.T))

    assert layout.offsets == (0, 0, 0, 64)
    assert b"".join(layout.chunks()) == square.tobytes() + square.T.tobytes()


def test_equal_kernels_share_a_function() -> None:
    """Blocks repeat; code is made once."""
    program = build_image(plan((*STEPS, *STEPS)))

    assert len(set(program.symbols)) == 4
    assert program.symbols[:4] == program.symbols[4:]
    assert kernel_symbol(STEPS[0].kernel, plan().target) == program.symbols[0]


def test_kernels_that_differ_but_print_alike_are_found() -> None:
    """A field left out of the record's text would merge two kernels into one."""

    class Hidden:
        family, units, scratch = "same", 4, 0

        def __repr__(self) -> str:
            return "Hidden()"

        def emit(self, name: str, target: Target) -> str:
            raise NotImplementedError

    steps = tuple(replace(STEPS[0], kernel=Hidden()) for _ in range(2))

    with pytest.raises(InternalError, match="print differently"):
        build_image(plan(steps))


def test_header_is_read_without_mapping_code(tmp_path: Path) -> None:
    """`show` prints plans made for other processors, which cannot be opened here."""
    path = saved(tmp_path, plan(target=ARM))

    header = read_header(path)

    assert (header.target, header.machine, header.model) == ("aarch64", "aarch64", "tiny")
    assert path.stat().st_size % 65536 == 0
    with pytest.raises(PlanFileError, match="aarch64"):
        open_file(path)


def test_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan appears whole or not at all."""
    path = saved(tmp_path, plan())
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, f"No space left on device {descriptor}")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path, plan((host(INPUT, OUTPUT),)))

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A target that is a folder is refused after the writing, and the temporary file goes."""
    (tmp_path / "tiny.alula").mkdir()

    with pytest.raises(OSError, match="tiny"):
        saved(tmp_path, plan())

    assert list(tmp_path.iterdir()) == [tmp_path / "tiny.alula"]


def test_header_beyond_the_readers_limit_is_not_written(tmp_path: Path) -> None:
    """What no reader accepts must fail where it can still be changed."""
    big = replace(plan(), metadata={"text": "x" * (16 << 20)})

    with pytest.raises(LimitError, match="header"):
        write_plan(big, tmp_path / "big.alula")


def test_attributes_that_no_file_can_hold_are_refused(tmp_path: Path) -> None:
    """The step is named."""
    step = host(INPUT, OUTPUT, {"body": object()})  # type: ignore[dict-item]

    with pytest.raises(UnsupportedError, match="sorter, attribute body"):
        saved(tmp_path, plan((step,)))


def test_names_in_any_script_come_back(tmp_path: Path) -> None:
    """Headers are UTF-8."""
    named = replace(plan(), name="modèle 模型", metadata={"ключ": "\0\n"})

    assert open_file(saved(tmp_path, named)).header.model == "modèle 模型"
    assert open_file(saved(tmp_path, named)).header.metadata == {"ключ": "\0\n"}
