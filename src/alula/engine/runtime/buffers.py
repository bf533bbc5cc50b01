"""Checks what callers hand in and finds its address, without a copy.

In: a TensorSpec, an object with a buffer. Out: `Bound`: the address, and what keeps it good; or an InputError.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from alula.base.errors import InputError
from alula.base.tensors import BITS, DType, Tensor, TensorSpec
from alula.engine.runtime.memory import address_of

# Format characters by kind and size (Python's `struct` table); `l` has 8 bytes natively on 64-bit Linux, 4 in
# standard sizes.
_NATIVE = {"q": "ql", "Q": "QL"}
_STANDARD = {"i": "il", "I": "IL"}
_RAW_BYTES = frozenset({"B", "c"})


@dataclass(frozen=True)
class Bound:
    """A buffer that is in use: its address and size, and an object that keeps it where it is."""

    address: int
    nbytes: int
    holder: Any

    def memory(self) -> memoryview:
        """All bytes, flat."""
        if not self.nbytes:
            return memoryview(b"")
        try:
            return memoryview(self.holder).cast("B")
        except (TypeError, ValueError, BufferError):  # it has an array interface only, as elements that numpy lacks
            raw: Any = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
            raw.holder = self.holder
            return memoryview(raw).cast("B")

    def overlaps(self, other: Bound) -> bool:
        """Whether the two share a byte."""
        return self.address < other.address + other.nbytes and other.address < self.address + self.nbytes


class End:
    """One input or output of a model; checks the buffers that callers bring for it.

    Attributes:
        role: `input` or `output`, for messages.
        spec: name, dtype and shape; all dimensions are numbers.
    """

    def __init__(self, role: str, spec: TensorSpec) -> None:
        self.role = role
        self.spec = spec
        self.shape = tuple(dim for dim in spec.shape if isinstance(dim, int))
        self.nbytes = math.prod(self.shape) * spec.dtype.itemsize
        self._formats = formats_of(spec.dtype)

    def bind(self, data: Any, *, writable: bool = False) -> Bound:  # noqa: ANN401  any buffer
        """Check a buffer and take hold of it.

        Flat bytes count by their size; a buffer that tells its element type or shape must have the right ones.

        Raises:
            InputError: dtype, shape, size or order does not fit, or it cannot be written to and has to be.
        """
        if isinstance(data, Tensor):
            if data.dtype is not self.spec.dtype or data.shape != self.shape:
                self._refuse(f"got {data.dtype} {list(data.shape)}")
            view = data.view
        else:
            try:
                view = memoryview(data)
            except (TypeError, ValueError, BufferError):
                return self._interface(data, writable=writable)
            self._check(view)
        if writable and view.readonly:
            self._refuse("the buffer is read-only", "needs memory that can be written to")
        return Bound(address_of(view) if self.nbytes else 0, self.nbytes, view)

    def _check(self, view: memoryview) -> None:
        if view.ndim == 1 and view.format in _RAW_BYTES and view.nbytes == self.nbytes and view.c_contiguous:
            return
        if view.format not in self._formats or view.shape != self.shape:
            raw = view.ndim == 1 and view.format in _RAW_BYTES
            self._refuse(f"got {view.nbytes} bytes" if raw else f"got {_named(view.format)} {list(view.shape or ())}")
        if not view.c_contiguous:
            self._refuse("the buffer is strided", "needs contiguous row-major memory")

    def _interface(self, data: Any, *, writable: bool) -> Bound:  # noqa: ANN401  any buffer
        """Objects that have no buffer but numpy's array interface, or that numpy can view.

        See https://numpy.org/doc/stable/reference/arrays.interface.html, version 3.
        """
        interface = getattr(data, "__array_interface__", None)
        if not isinstance(interface, Mapping):
            if hasattr(data, "__array__") and not writable:
                return self.bind(data.__array__())
            self._refuse(f"got {type(data).__name__}", "needs a buffer: bytes, memoryview, numpy array or Tensor")
        kind, shape = str(interface.get("typestr")), interface.get("shape")
        if kind not in _typestrs(self.spec.dtype) or shape != self.shape:
            self._refuse(f"got {kind} {list(shape) if isinstance(shape, tuple) else shape}")
        if interface.get("strides") not in {None, _strides(self.shape, self.spec.dtype.itemsize)}:
            self._refuse("the buffer is strided", "needs contiguous row-major memory")
        place = interface.get("data")
        if not isinstance(place, tuple):
            self._refuse("its array interface holds no address", "needs a buffer")
        address, readonly = place
        if writable and readonly:
            self._refuse("the buffer is read-only", "needs memory that can be written to")
        return Bound(int(address), self.nbytes, data)

    def _refuse(self, found: str, needed: str = "") -> NoReturn:
        needs = needed or f"needs {self.spec.dtype} {list(self.shape)} ({self.nbytes} bytes)"
        raise InputError(f"{self.role} {self.spec.name}", needs, found)


def check_names(role: str, given: Mapping[str, Any], ends: Mapping[str, End], *, all_of_them: bool) -> None:
    """Verify that the names a caller uses are the model's.

    Raises:
        InputError: unknown names, or missing ones where all are needed; it lists them all.
    """
    unknown = [name for name in given if name not in ends]
    missing = [name for name in ends if name not in given] if all_of_them else []
    if not unknown and not missing:
        return
    found = "; ".join(
        f"{what} {', '.join(map(str, names))}"
        for what, names in (("unknown:", unknown), ("missing:", missing))
        if names
    )
    needed = f"needs {'all' if all_of_them else 'some'} of {', '.join(ends) or 'none'}"
    raise InputError(
        f"{role}s", needed, found, f"the model's {role}s are: {'; '.join(str(end.spec) for end in ends.values())}"
    )


def formats_of(dtype: DType) -> frozenset[str]:
    """All ways in which the buffer protocol spells a dtype on this machine."""
    letter = dtype.format
    native = _NATIVE.get(letter, letter) if sys.maxsize > 1 << 32 else letter
    forms = {prefix + each for each in native for prefix in ("", "@")}
    forms |= {prefix + each for each in _STANDARD.get(letter, letter) for prefix in ("<", "=")}
    return frozenset(forms)


def _typestrs(dtype: DType) -> frozenset[str]:
    size = dtype.itemsize
    if dtype in BITS:  # ml_dtypes names its types as raw bytes, and float8_e5m2 as a float of one byte
        return frozenset({"<V1", "|V1", "<f1", "|u1"} if size == 1 else {"<V2", "|V2", "<u2"})
    kind = "b" if dtype is DType.BOOL else "u" if dtype.format.isupper() else "f" if dtype.format in "efd" else "i"
    return frozenset({f"<{kind}{size}", f"|{kind}{size}"} if size == 1 else {f"<{kind}{size}"})


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    step = itemsize
    for dim in reversed(shape):
        strides.insert(0, step)
        step *= dim
    return tuple(strides)


def _named(form: str) -> str:
    """A format as the user knows it."""
    return next((dtype.value for dtype in DType if form in formats_of(dtype)), f"elements of format {form!r}")
