"""The inside of a compile helper process.

In: a target and module texts on standard input. Out: objects, or what LLVM said, on standard output.
"""

from __future__ import annotations

import ast
import sys

from alula.base.errors import InternalError
from alula.engine.kernels.target import Target
from alula.engine.program.compile import compile_text
from alula.engine.program.helpers import receive, send


def serve_compiles() -> None:
    """Compile one module after another until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    first = receive(source)
    if first is None:
        return
    target = Target(*ast.literal_eval(first[0].decode()))
    while (message := receive(source)) is not None:
        try:
            send(sink, compile_text(message[0].decode(), target))
        except InternalError as error:
            send(sink, error.found.encode(), failed=True)
