"""Runs single kernels: compiles their text in this process and guards the memory around their operands.

In: a kernel record, a target, arrays. Out: the outputs filled; an assertion when a byte outside of them was written.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from alula.engine.kernels.call import Kernel
from alula.engine.kernels.target import TARGETS, Target

Array = np.ndarray[Any, Any]

_GUARD = 256
_GUARD_BYTE = 0xA5
_SYMBOL_BYTES = 24


@cache
def targets_here() -> tuple[Target, ...]:
    """The targets that this machine's processor can run."""
    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    flags = frozenset(next(line for line in text.splitlines() if line.startswith("flags")).split())
    return tuple(target for target in TARGETS if flags.issuperset(target.needs))


def run_kernel(
    kernel: Kernel, target: Target, inputs: Sequence[Array], outputs: Sequence[Array], *, pieces: int = 1
) -> None:
    """Run all units of a kernel, split into `pieces` uneven ranges that are called in a random order.

    Args:
        kernel: what to run.
        target: the machine to make code for; must be one of `targets_here`.
        inputs: activations, then packed weights; each is copied to the end of a page behind which reads fault.
        outputs: written in place; must be contiguous.
        pieces: how many calls share the units.
    """
    function = _function(kernel.emit("kernel", target), target, len(inputs) + len(outputs) + (kernel.scratch > 0))
    cages = [_Cage(array) for array in inputs]
    pens = [_Pen(array) for array in outputs]
    scratch = np.full(kernel.scratch + 128, 0xFF, np.uint8)
    places = [cage.address for cage in cages]
    if kernel.scratch:
        places.append(-(-scratch.ctypes.data // 64) * 64)
    places += [pen.address for pen in pens]
    for lo, hi in _ranges(kernel.units, pieces):
        function(*places, lo, hi)
    for pen in pens:
        pen.give_back()


def assembly(kernel: Kernel, target: Target) -> str:
    """The assembly text that the kernel becomes."""
    module = llvm.parse_assembly(kernel.emit("kernel", target))
    return str(_machine(target, jit=False).emit_assembly(module))


def undefined_symbols(kernel: Kernel, target: Target) -> set[str]:
    """Names that the kernel's object file expects somebody else to define."""
    module = llvm.parse_assembly(kernel.emit("kernel", target))
    image = _machine(target, jit=False).emit_object(module)
    parts = {section.name(): section.data() for section in llvm.ObjectFileRef.from_data(image).sections()}
    table, names = parts[b".symtab"], parts[b".strtab"]
    found = set()
    for start in range(0, len(table), _SYMBOL_BYTES):
        name, _info, _other, section = struct.unpack_from("<IBBH", table, start)
        if name and not section:
            found.add(names[name : names.index(b"\0", name)].decode())
    return found


def to_blocks(plain: Array, block: int, fill: float = 0.0) -> Array:
    """[N, C, ...] as [N, ceil(C / block), ..., block]; lanes beyond C hold `fill`."""
    batch, channels, *space = plain.shape
    blocks = -(-channels // block)
    padded = np.full((batch, blocks * block, *space), fill, plain.dtype)
    padded[:, :channels] = plain
    split = padded.reshape(batch, blocks, block, *space)
    return np.ascontiguousarray(np.moveaxis(split, 2, -1))


def from_blocks(blocked: Array, channels: int) -> Array:
    """The inverse of `to_blocks`."""
    batch, blocks, *space, block = blocked.shape
    plain = np.moveaxis(blocked, -1, 2).reshape(batch, blocks * block, *space)
    return np.ascontiguousarray(plain[:, :channels])


class _Cage:
    """A copy of an array that ends where a page that cannot be read begins."""

    def __init__(self, array: Array) -> None:
        size = array.nbytes
        page = mmap.PAGESIZE
        room = -(-max(size, 1) // page) * page
        self._map = mmap.mmap(-1, room + page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if libc.mprotect(base + room, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect failed")
        self.address = base + room - size
        ctypes.memmove(self.address, np.ascontiguousarray(array).ctypes.data, size)


class _Pen:
    """Memory for an output, with known bytes on both sides."""

    def __init__(self, array: Array) -> None:
        assert array.flags.c_contiguous
        self._array = array
        self._memory = np.full(array.nbytes + 2 * _GUARD, _GUARD_BYTE, np.uint8)
        self._memory[_GUARD:-_GUARD] = array.reshape(-1).view(np.uint8)
        self.address = self._memory.ctypes.data + _GUARD

    def give_back(self) -> None:
        assert (self._memory[:_GUARD] == _GUARD_BYTE).all(), "bytes before an output were written"
        assert (self._memory[-_GUARD:] == _GUARD_BYTE).all(), "bytes behind an output were written"
        self._array.reshape(-1).view(np.uint8)[:] = self._memory[_GUARD:-_GUARD]


def _ranges(units: int, pieces: int) -> Iterable[tuple[int, int]]:
    chance = random.Random(units * 31 + pieces)  # noqa: S311  no secret
    cuts = sorted(chance.randint(0, units) for _ in range(pieces - 1))
    ranges = list(zip([0, *cuts], [*cuts, units], strict=True))
    chance.shuffle(ranges)
    return ranges


def _machine(target: Target, *, jit: bool) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    model = "jitdefault" if jit else "default"
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel=model, jit=jit
    )


_engines: list[object] = []


@cache
def _function(text: str, target: Target, pointers: int) -> Any:
    module = llvm.parse_assembly(text)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, _machine(target, jit=True))
    engine.finalize_object()
    _engines.append(engine)
    kinds = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * 2
    return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address("kernel"))
