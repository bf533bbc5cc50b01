"""A progress line on stderr for steps that take more than a moment; silent where nobody watches.

In: stage, done, total. Out: one line that rewrites itself.
"""

from __future__ import annotations

import sys
import time
from typing import Self

_WIDTH = 24
# Steps that end sooner than this show nothing.
_PATIENCE_SECONDS = 0.4


class Progress:
    """Shows the stage that is running; owned by one command."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._shown = False
        self._active = sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of a stage are ready."""
        if not self._active or time.monotonic() - self._started < _PATIENCE_SECONDS:
            return
        filled = _WIDTH * done // max(1, total)
        bar = "#" * filled + "." * (_WIDTH - filled)
        seconds = time.monotonic() - self._started
        print(f"\r{self._title}: {stage:<10} [{bar}] {done}/{total}  {seconds:.1f} s", end="", file=sys.stderr)
        self._shown = True

    def __enter__(self) -> Self:
        """The line goes when the block ends, however it ends."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Remove the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
