"""Official ONNX cases that alula does not pass, each with its reason.

In: nothing. Out: `KNOWN_FAILURES`, by case. The conformance job fails for a failure that does not stand here, and for
an entry that is no longer needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KNOWN_FAILURES: Mapping[str, str] = MappingProxyType({})
