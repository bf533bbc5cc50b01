"""alula as an ONNX backend: what tools that know `onnx.backend.base.Backend` call.

In: a ModelProto. Out: a prepared model that takes and gives numpy arrays, in the model's order of inputs and outputs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from alula.base.errors import InputError
from alula.base.session import OpenOptions, Session
from alula.base.settings import read_settings
from alula.engine.sessions.opener import open_model
from alula.engine.sessions.values import owned


class PreparedModel(BackendRep):
    """One opened model; owns the folder that its file and its compiled plans stand in, until it is closed or let go."""

    def __init__(self, model: onnx.ModelProto, provider: Literal["native", "reference"] = "native") -> None:
        """Write the model where a session can open it.

        Raises:
            AlulaError: the model cannot be read or run.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="alula-backend-")
        path = Path(self._folder.name) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        settings = replace(read_settings(os.environ), cache=Path(self._folder.name) / "cache", jobs=1)
        options = OpenOptions(provider=provider, threads=1)
        self.session: Session = open_model(path, options, settings)

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:  # noqa: ANN401  arrays, lists of arrays, or a mapping
        """Run the model.

        Args:
            inputs: one array (or list of arrays, for a sequence) for each input in their order, or a mapping by name.

        Returns:
            A copy of each output, in their order.

        Raises:
            AlulaError: an input does not fit.
        """
        names = [spec.name for spec in self.session.inputs]
        feeds = inputs if isinstance(inputs, Mapping) else _named(names, inputs)
        results = self.session.run(feeds)
        return tuple(owned(results[spec.name]) for spec in self.session.outputs)

    def close(self) -> None:
        """Give memory and files back."""
        self.session.close()
        self._folder.cleanup()


class AlulaBackend(Backend):
    """The entry points that the ONNX project defines; the device is always the processor."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> PreparedModel:
        """Open a model; `provider="reference"` runs it by the numpy references.

        Raises:
            AlulaError: the model cannot be read or run.
        """
        del device
        return PreparedModel(model, options.get("provider", "native"))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Open, run once, close; see `PreparedModel.run`."""
        prepared = cls.prepare(model, device, **options)
        try:
            return prepared.run(inputs)
        finally:
            prepared.close()

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run there: on the processor."""
        return bool(Device(device).type == DeviceType.CPU)


prepare = AlulaBackend.prepare
run_model = AlulaBackend.run_model
supports_device = AlulaBackend.supports_device


def _named(names: Sequence[str], inputs: Any) -> Mapping[str, Any]:  # noqa: ANN401  as `PreparedModel.run`
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(arrays) > len(names):
        raise InputError("inputs", f"takes {len(names)}: {', '.join(names)}", f"got {len(arrays)}")
    return dict(zip(names, arrays, strict=False))
