"""Where a provider may do otherwise than the contract says, and why; the only place for that.

In: nothing. Out: `EXCUSES`: provider and rule -> reason.
"""

from __future__ import annotations

EXCUSES: dict[tuple[str, str], str] = {
    ("onnxruntime", "threads change no bit"): "the library promises no order of its sums when it shares them out",
}
