from __future__ import annotations

import pytest

from alula.base.errors import InternalError
from alula.engine.kernels.target import TARGETS
from alula.engine.program.compile import assembly_of, compile_all, compile_text
from alula.engine.program.helpers import compile_beside

TARGET = TARGETS[-1]
TEXTS = {f"f{i}": f"define i64 @f{i}(i64 %x) nounwind {{\n  %y = add i64 %x, {i}\n  ret i64 %y\n}}\n" for i in range(5)}
BAD = "define void @f() { ret i64 0 }"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_text_becomes_an_elf_object(target: object) -> None:
    """Every instruction set can be emitted on any machine."""
    assert compile_text(TEXTS["f1"], target)[:4] == b"\x7fELF"  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [BAD, "define void @f() { entry: br label %nowhere }", "nonsense"])
def test_text_that_llvm_refuses_is_our_mistake(text: str) -> None:
    """The message shows what LLVM said and the text."""
    with pytest.raises(InternalError, match="LLVM") as caught:
        compile_text(text, TARGET)

    assert text in caught.value.detail


def test_assembly_can_be_shown() -> None:
    """`show asm` and the spill counts read it."""
    assert "f3:" in assembly_of(TEXTS["f3"], TARGET)


def test_all_texts_are_compiled_and_reported() -> None:
    """Progress counts every module once."""
    seen: list[tuple[int, int]] = []

    objects = compile_all(TEXTS, TARGET, 1, lambda done, total: seen.append((done, total)))

    assert list(objects) == list(TEXTS)
    assert seen == [(count, 5) for count in range(1, 6)]


def test_helpers_give_the_same_objects() -> None:
    """How many processes compile is not seen in the plan."""
    seen: list[int] = []

    objects = compile_beside(TEXTS, TARGET, 2, lambda done, _: seen.append(done))

    assert list(objects.items()) == list(compile_all(TEXTS, TARGET).items())
    assert seen == [1, 2, 3, 4, 5]


def test_failure_in_a_helper_comes_back() -> None:
    """A text that LLVM refuses is the same error in a process beside, and hangs nobody."""
    with pytest.raises(InternalError, match="LLVM"):
        compile_beside({**TEXTS, "bad": BAD}, TARGET, 2, lambda *_: None)


def test_helper_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that cannot start must not leave the compiler waiting."""
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises((InternalError, BrokenPipeError)):
        compile_beside(TEXTS, TARGET, 2, lambda *_: None)
