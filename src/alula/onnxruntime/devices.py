"""Where memory may be, under ONNX Runtime's names: in this process.

In: names of devices. Out: `OrtDevice`, `OrtMemoryInfo`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from alula.onnxruntime.errors import refused


class OrtAllocatorType(enum.IntEnum):
    """No effect: numpy allocates what scripts see, and every session has one arena of a known size."""

    INVALID = -1
    ORT_DEVICE_ALLOCATOR = 0
    ORT_ARENA_ALLOCATOR = 1


class OrtMemType(enum.IntEnum):
    """No effect: there is one kind of memory."""

    CPU_INPUT = -2
    CPU_OUTPUT = -1
    CPU = -1
    DEFAULT = 0


@dataclass(frozen=True)
class OrtDevice:
    """The processor."""

    name: str = "cpu"
    number: int = 0

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        """The device of a name.

        Raises:
            RuntimeError: it is not the processor.
        """
        del vendor_id
        check_device(ort_device_name)
        return OrtDevice(ort_device_name.lower(), device_id)

    def device_type(self) -> int:
        """The number of the kind of the device: 0, the processor."""
        return 0

    def device_id(self) -> int:
        """Which of them."""
        return self.number


@dataclass(frozen=True)
class OrtMemoryInfo:
    """What an allocator would be made for; kept and read back."""

    name: str
    allocator_type: OrtAllocatorType = OrtAllocatorType.ORT_ARENA_ALLOCATOR
    device_id: int = 0
    mem_type: OrtMemType = OrtMemType.DEFAULT


def create_and_register_allocator(mem_info: OrtMemoryInfo, arena_cfg: Any = None) -> None:  # noqa: ANN401  any
    """No effect: the memory of a session is laid out when its model is compiled."""
    del mem_info, arena_cfg


def check_device(name: str) -> None:
    """Accept the processor.

    Raises:
        RuntimeError: any other device.
    """
    if name.lower() != "cpu":
        raise refused("InvalidArgument", f"device {name}: only cpu is there")
