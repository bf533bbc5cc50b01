from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from support.plans import Combine

from alula.base.hardware import cpu_flags
from alula.engine.kernels.target import TARGETS, best_target
from alula.engine.program import compile as compiler
from alula.engine.program.compile import compile_all
from alula.engine.program.objects import ObjectStore

TARGET = best_target(cpu_flags())


def texts() -> Mapping[str, str]:
    """Two modules."""
    return {name: Combine(name, 5).emit(name, TARGET) for name in ("fadd", "fmul")}


def test_equal_text_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one model come back in another, and in the next shape."""
    store = ObjectStore(tmp_path / "kernels")
    first = compile_all(texts(), TARGET, store=store)

    def never(text: str, target: object) -> bytes:
        raise AssertionError(text, target)

    monkeypatch.setattr(compiler, "compile_text", never)
    seen: list[tuple[int, int]] = []

    assert compile_all(texts(), TARGET, 1, lambda *at: seen.append(at), store) == first


def test_progress_counts_modules_that_were_kept(tmp_path: Path) -> None:
    """The bar ends where all modules are ready, wherever they came from."""
    store = ObjectStore(tmp_path)
    one = dict([next(iter(texts().items()))])
    compile_all(one, TARGET, store=store)
    seen: list[tuple[int, int]] = []

    compile_all(texts(), TARGET, 1, lambda done, total: seen.append((done, total)), store)

    assert seen == [(2, 2)]


def test_another_target_or_text_is_another_object(tmp_path: Path) -> None:
    """Code of a wider processor must never come back for a narrower one."""
    store = ObjectStore(tmp_path)
    store.put("text", TARGETS[0], b"object")

    assert store.get("text", TARGETS[0]) == b"object"
    assert store.get("text", TARGETS[-1]) is None
    assert store.get("text ", TARGETS[0]) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "folder"])
def test_a_damaged_object_counts_as_none(damage: str, tmp_path: Path) -> None:
    """Attack: bytes of an object become code; what does not have its hash is compiled anew."""
    store = ObjectStore(tmp_path)
    store.put("text", TARGET, b"object")
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        changed = {"truncated": data[:-1], "flipped": data[:-1] + b"x", "empty": b""}[damage]
        path.write_bytes(changed)

    assert store.get("text", TARGET) is None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    """A read-only cache makes compiling slower, not impossible."""
    (tmp_path / "kernels").write_bytes(b"")
    store = ObjectStore(tmp_path / "kernels")

    store.put("text", TARGET, b"object")

    assert store.get("text", TARGET) is None
    assert [path.name for path in tmp_path.iterdir()] == ["kernels"]
