"""An interpreter of the few pickle opcodes that weight files use; it makes plain values and runs nothing.

In: bytes of a pickle stream. Out: dicts, lists, numbers, text, `StoredTensor`; opcodes as in CPython's pickletools.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from alula.base.errors import LimitError, ModelFileError, UnsupportedError
from alula.engine.importers.files import shown
from alula.engine.importers.torch_pickle_globals import allowed, call, storage

# The limits: a checkpoint of a thousand tensors takes some forty thousand opcodes and a stack of some thousand.
MOST_OPCODES = 2_000_000
_MOST_STACK = 1_000_000
_MOST_MARKS = 1000
_LONGEST_TEXT = 1 << 20
_LONGEST_INTEGER = 16
_LONGEST_LINE = 256
_STOP = ord(".")
_NEWEST_PROTOCOL = 5


class Machine:
    """One pickle stream being read: a stack, the marks on it, and the memo.

    Args:
        data: the file.
        at: where the stream begins.
        name: the file, for messages.
    """

    def __init__(self, data: memoryview, at: int, name: str) -> None:
        self.data = data
        self.at = at
        self._name = name
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        """The value of the stream; `at` stands after its end then.

        Raises:
            ModelFileError: the stream is damaged.
            UnsupportedError: an opcode or a name that weight files do not need.
            LimitError: it is larger than any weight file.
        """
        for _ in range(MOST_OPCODES):
            opcode = self._take(1)[0]
            if opcode == _STOP:
                return self._pop()
            step = _STEPS.get(opcode)
            if step is None:
                found = f"found opcode {opcode:#04x} ({shown(chr(opcode))})"
                raise UnsupportedError(self.where, "needs the opcodes of weight files", found)
            step(self)
            if len(self._stack) > _MOST_STACK:
                raise LimitError(self.where, f"at most {_MOST_STACK} values on the stack", "the stream pushes more")
        raise LimitError(self.where, f"at most {MOST_OPCODES} opcodes", "the stream has more")

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"{self._name}, byte {self.at}"

    def _take(self, size: int) -> memoryview:
        if size > len(self.data) - self.at:
            raise ModelFileError(self.where, f"needs {size} bytes", f"{len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> str:
        line = bytes(self.data[self.at : self.at + _LONGEST_LINE])
        text, newline, _ = line.partition(b"\n")
        if not newline or not text.isascii():
            raise ModelFileError(self.where, "needs a name that ends with a line", "it has no end")
        self.at += len(text) + 1
        return text.decode("ascii")

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise ModelFileError(self.where, "needs a value on the stack", "it is empty")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[object]:
        if not self._marks:
            raise ModelFileError(self.where, "needs a mark on the stack", "there is none")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def mark(self) -> None:
        """MARK: remember the height of the stack."""
        if len(self._marks) >= _MOST_MARKS:
            raise LimitError(self.where, f"values may be nested {_MOST_MARKS} deep", "the stream nests deeper")
        self._marks.append(len(self._stack))

    def protocol(self) -> None:
        """PROTO: the version of the format."""
        version = self._number(1)
        if version > _NEWEST_PROTOCOL:
            raise UnsupportedError(self.where, f"needs a protocol up to {_NEWEST_PROTOCOL}", f"found {version}")

    def frame(self) -> None:
        """FRAME: a hint for readers that buffer; its length must lie in the file."""
        size = self._number(8)
        if size > len(self.data) - self.at:
            raise ModelFileError(self.where, f"a frame claims {size} bytes", f"{len(self.data) - self.at} are left")

    def constant(self, value: object) -> None:
        """NONE, NEWTRUE, NEWFALSE, EMPTY_TUPLE."""
        self._push(value)

    def new_dict(self) -> None:
        """EMPTY_DICT."""
        self._push({})

    def new_list(self) -> None:
        """EMPTY_LIST."""
        self._push([])

    def integer(self, size: int, *, signed: bool) -> None:
        """BININT, BININT1, BININT2."""
        self._push(self._number(size, signed=signed))

    def long(self) -> None:
        """LONG1: an integer of so many bytes; PyTorch's own magic number takes ten."""
        size = self._number(1)
        if size > _LONGEST_INTEGER:
            raise LimitError(self.where, f"integers of at most {_LONGEST_INTEGER} bytes", f"found {size}")
        self._push(self._number(size, signed=True))

    def real(self) -> None:
        """BINFLOAT: eight bytes, most significant first."""
        self._push(struct.unpack(">d", self._take(8))[0])

    def text(self, width: int) -> None:
        """BINUNICODE, BINSTRING and their short forms; a length of `width` bytes stands before the text."""
        size = self._number(width)
        if size > _LONGEST_TEXT:
            raise LimitError(self.where, f"texts of at most {_LONGEST_TEXT} bytes", f"found {size}")
        try:
            self._push(str(self._take(size), "utf-8"))
        except UnicodeDecodeError:
            raise ModelFileError(self.where, "needs text in UTF-8", "found other bytes") from None

    def tuple_of(self, count: int) -> None:
        """TUPLE1, TUPLE2, TUPLE3."""
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def tuple_to_mark(self) -> None:
        """TUPLE."""
        self._push(tuple(self._pop_to_mark()))

    def put(self, width: int) -> None:
        """BINPUT, LONG_BINPUT; MEMOIZE with width 0."""
        index = self._number(width) if width else len(self._memo)
        value = self._pop()
        self._memo[index] = value
        self._push(value)

    def get(self, width: int) -> None:
        """BINGET, LONG_BINGET."""
        index = self._number(width)
        if index not in self._memo:
            raise ModelFileError(self.where, f"needs memo entry {index}", "nothing was put there")
        self._push(self._memo[index])

    def name(self) -> None:
        """GLOBAL: two lines, module and name."""
        module, name = self._line(), self._line()
        self._push(allowed(self.where, module, name))

    def name_from_stack(self) -> None:
        """STACK_GLOBAL: module and name from the stack."""
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ModelFileError(self.where, "needs a module and a name", "found other values")
        self._push(allowed(self.where, module, name))

    def reduce(self) -> None:
        """REDUCE: what an allowed function makes of its arguments."""
        arguments, function = self._pop(), self._pop()
        self._push(call(self.where, function, arguments))

    def build(self) -> None:
        """BUILD: attributes of an ordered dict (`_metadata`), which weights do not need."""
        self._pop()
        target = self._pop()
        if not isinstance(target, dict):
            found = f"found one for a {type(target).__name__}"
            raise UnsupportedError(self.where, "needs no attributes but those of dicts", found)
        self._push(target)

    def persistent(self) -> None:
        """BINPERSID: a storage."""
        self._push(storage(self.where, self._pop()))

    def set_item(self) -> None:
        """SETITEM."""
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self) -> None:
        """SETITEMS."""
        self._set(self._pop_to_mark())

    def append(self) -> None:
        """APPEND."""
        self._extend([self._pop()])

    def append_all(self) -> None:
        """APPENDS."""
        self._extend(self._pop_to_mark())

    def _set(self, pairs: list[object]) -> None:
        target = self._pop()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise ModelFileError(self.where, "needs pairs for a dict", "found others")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # Only keys that hash at once: a tuple nested in itself again and again would take for ever.
            if not isinstance(key, (str, int)):
                raise ModelFileError(self.where, "needs keys that are text or numbers", f"found {type(key).__name__}")
            target[key] = value
        self._push(target)

    def _extend(self, values: list[object]) -> None:
        target = self._pop()
        if not isinstance(target, list):
            raise ModelFileError(self.where, "needs a list to append to", f"found {type(target).__name__}")
        target.extend(values)
        self._push(target)


_STEPS: Mapping[int, Callable[[Machine], None]] = {
    0x80: Machine.protocol,
    0x95: Machine.frame,
    ord("("): Machine.mark,
    ord("N"): lambda m: m.constant(None),
    0x88: lambda m: m.constant(True),  # noqa: FBT003  the value itself
    0x89: lambda m: m.constant(False),  # noqa: FBT003  the value itself
    ord(")"): lambda m: m.constant(()),
    ord("}"): Machine.new_dict,
    ord("]"): Machine.new_list,
    ord("J"): lambda m: m.integer(4, signed=True),
    ord("K"): lambda m: m.integer(1, signed=False),
    ord("M"): lambda m: m.integer(2, signed=False),
    0x8A: Machine.long,
    ord("G"): Machine.real,
    ord("X"): lambda m: m.text(4),
    0x8C: lambda m: m.text(1),
    ord("T"): lambda m: m.text(4),
    ord("U"): lambda m: m.text(1),
    ord("t"): Machine.tuple_to_mark,
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("q"): lambda m: m.put(1),
    ord("r"): lambda m: m.put(4),
    0x94: lambda m: m.put(0),
    ord("h"): lambda m: m.get(1),
    ord("j"): lambda m: m.get(4),
    ord("c"): Machine.name,
    0x93: Machine.name_from_stack,
    ord("R"): Machine.reduce,
    ord("b"): Machine.build,
    ord("Q"): Machine.persistent,
    ord("s"): Machine.set_item,
    ord("u"): Machine.set_items,
    ord("a"): Machine.append,
    ord("e"): Machine.append_all,
}
