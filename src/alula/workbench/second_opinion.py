"""What ONNX Runtime says of the same model and inputs, where it is installed.

In: a model. Out: the largest difference of its outputs from the native ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alula.base.errors import MissingError
from alula.base.session import OpenOptions
from alula.base.settings import Settings
from alula.engine.graph.nodes import Array
from alula.engine.sessions.native import open_native, random_input
from alula.engine.sessions.opener import open_outside
from alula.workbench.check import session_difference


def second_opinion(
    path: Path, settings: Settings, shapes: Mapping[str, tuple[int, ...]], feeds: Mapping[str, Array]
) -> float | None:
    """The largest absolute difference between ONNX Runtime's outputs and ours; None when it is not installed."""
    try:
        other = open_outside(path, "onnxruntime", settings.threads)
    except MissingError:
        return None
    native = open_native(path, OpenOptions(shapes=dict(shapes)), settings)
    inputs = {spec.name: random_input(spec) for spec in native.inputs} | dict(feeds)
    difference = session_difference(native.run(inputs), other.run(inputs))
    native.close()
    return difference
