from __future__ import annotations

import struct

import pytest

from alula.base.errors import InternalError
from alula.engine.kernels.target import TARGETS, Target
from alula.engine.program.compile import compile_text
from alula.engine.program.elf import read_object
from alula.engine.program.image import link
from alula.engine.program.relocate import AARCH64, X86_64, patch

X86 = TARGETS[-1]
ARM = Target("aarch64", 4, 32, fma=True, cpu="generic", features="+neon", triple="aarch64-unknown-linux-gnu")
CALLER = "declare void @callee(ptr)\ndefine void @caller(ptr %p) nowind {\n  call void @callee(ptr %p)\n  ret void\n}\n"
CALLER = CALLER.replace("nowind", "nounwind")
CONSTANT = "<float 1.5, float 2.5, float 3.5, float 4.5>"
CALLEE = f"define void @callee(ptr %p) nounwind {{\n  store <4 x float> {CONSTANT}, ptr %p, align 4\n  ret void\n}}\n"
BYTES = struct.pack("<4f", 1.5, 2.5, 3.5, 4.5)


def linked(target: Target, **texts: str) -> tuple[bytes, dict[str, int]]:
    """Compile and link."""
    image = link({name: compile_text(text, target) for name, text in texts.items()})
    return image.data, dict(image.symbols)


def words(data: bytes, start: int) -> list[int]:
    """Instructions of AArch64 from `start`."""
    return [word for (word,) in struct.iter_unpack("<I", data[start : start + 64])]


def test_calls_across_objects_are_bound() -> None:
    """A call's distance counts from its end (System V ABI, R_X86_64_PLT32)."""
    data, symbols = linked(X86, caller=CALLER, callee=CALLEE)
    jump = symbols["caller"] + data[symbols["caller"] :].index(b"\xe8")

    assert jump + 5 + struct.unpack_from("<i", data, jump + 1)[0] == symbols["callee"]
    assert symbols["callee"] % 64 == 0
    assert data.index(BYTES) > max(symbols.values())


def test_arm_calls_and_constants_are_bound() -> None:
    """BL holds words; ADRP holds pages and the load the rest (IHI 0056, 5.7)."""
    data, symbols = linked(ARM, caller=CALLER, callee=CALLEE, **{f"pad{i}": pad(i) for i in range(70)})
    call = next(i for i, word in enumerate(words(data, symbols["caller"])) if word >> 26 == 0b100101)
    distance = (words(data, symbols["caller"])[call] & 0x3FFFFFF) << 2
    code = words(data, symbols["callee"])
    adrp = next(i for i, word in enumerate(code) if word & 0x9F000000 == 0x90000000)
    pages = (code[adrp] >> 29 & 3) | (code[adrp] >> 5 & 0x7FFFF) << 2
    low = (code[adrp + 1] >> 10 & 0xFFF) * 16
    place = (symbols["callee"] + 4 * adrp >> 12) + pages << 12 | low

    assert symbols["caller"] + 4 * call + distance == symbols["callee"]
    assert pages > 0
    assert data[place : place + 16] == BYTES


def pad(index: int) -> str:
    """A function that takes room."""
    return f"define void @pad{index}(ptr %p) nounwind {{\n  ret void\n}}\n"


def test_undefined_symbols_are_named() -> None:
    """Generated code calls nothing outside itself; a kernel that LLVM turned into a libm call is a mistake of ours."""
    sine = (
        "declare float @llvm.sin.f32(float)\ndefine float @f(float %x) {\n  %y = call float @llvm.sin.f32(float %x)\n"
    )

    with pytest.raises(InternalError, match="sinf is undefined"):
        linked(X86, f=sine + "  ret float %y\n}\n")


def test_symbols_that_stand_twice_are_named() -> None:
    """Two kernels of one name would be one of them."""
    with pytest.raises(InternalError, match="callee stands twice"):
        linked(X86, a=CALLEE, b=CALLEE)


@pytest.mark.parametrize("data", ["@state = global i64 3", "@state = global i64 0", "@state = constant ptr @f"])
def test_writable_data_is_refused(data: str) -> None:
    """An image is mapped read-execute: state, zeroed memory and tables of addresses have no place in it."""
    with pytest.raises(InternalError, match="writable"):
        linked(X86, f=f"{data}\ndefine ptr @f() {{\n  ret ptr @state\n}}\n")


def test_addresses_through_a_table_are_refused() -> None:
    """Another object's constant would be reached through a global offset table, which an image does not have."""
    data = "@shared = constant i64 3\n"
    code = "@shared = external global i64\ndefine i64 @f() {\n  %x = load i64, ptr @shared\n  ret i64 %x\n}\n"

    with pytest.raises(InternalError, match="kind"):
        linked(X86, data=data, code=code)


@pytest.mark.parametrize(("machine", "kind"), [(X86_64, 1), (X86_64, 9), (X86_64, 10), (AARCH64, 257), (3, 2)])
def test_absolute_relocations_are_refused(machine: int, kind: int) -> None:
    """The image runs wherever it is mapped."""
    with pytest.raises(InternalError, match=f"kind {kind}"):
        patch(machine, kind, "f")


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF\x01\x01" + bytes(64)])
def test_other_object_formats_are_refused(data: bytes) -> None:
    """Only ELF64, little-endian."""
    with pytest.raises(InternalError, match="ELF64"):
        read_object("f", data)
