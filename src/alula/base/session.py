"""The one thing above the engine: a compiled model that answers.

In: buffers by name. Out: tensors by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from alula.base.shapes import ShapeSets
from alula.base.tensors import Tensor, TensorSpec


@runtime_checkable
class Session(Protocol):
    """An opened model. One thread at a time may call `run`; concurrent callers use one `fork` each."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""
        ...

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs.

        Args:
            inputs: a contiguous buffer for each input (bytes, memoryview, numpy array, Tensor); read, never kept.
            outputs: writable buffers to fill, for some or all outputs.

        Returns:
            A tensor for each output: the caller's buffer where one was given, else a view valid until the next run.

        Raises:
            InputError: a name, rank, shape, dtype or size does not fit; nothing has been computed then.
        """
        ...

    def fork(self) -> Session:
        """Another session over the same weights and code, with memory of its own."""
        ...

    def close(self) -> None:
        """Give memory back. A closed session refuses to run; closing twice is harmless."""
        ...


@dataclass(frozen=True)
class OpenOptions:
    """How to open a model.

    Attributes:
        provider: who computes: `native` machine code, `reference` numpy, or `onnxruntime`.
        threads: worker threads of a run; 0 is as many as this process may use.
        shapes: input shapes by name, for models with symbolic dimensions; those not named are bound at first use. A
            dimension may be a collection, such as range(32, 641, 32): the session then takes only these sizes.
        target: the instruction set to compile for; empty is this machine's best.
        disable: names of passes to leave out.
        progress: called while a model is compiled, with (stage, parts done, parts in all).
    """

    provider: Literal["native", "reference", "onnxruntime"] = "native"
    threads: int = 0
    shapes: ShapeSets | None = None
    target: str = ""
    disable: frozenset[str] = frozenset()
    progress: Callable[[str, int, int], None] | None = None
