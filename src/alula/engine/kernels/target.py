"""What a kernel may assume of the machine it is made for.

In: a name. Out: `Target`; `TARGETS` lists the instruction sets that kernels are written for, widest first.
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.base.errors import UnsupportedError


@dataclass(frozen=True)
class Target:
    """An instruction set.

    Attributes:
        name: the psABI level or the architecture, as users write it.
        lanes: float32 elements of one vector register; also the channels of one block in memory.
        registers: how many vector registers there are.
        fma: whether multiply-add is one instruction.
        cpu: LLVM's name of the processor model that kernels are scheduled for.
        features: LLVM's feature string.
        triple: LLVM's target triple.
        needs: processor flags, as /proc/cpuinfo spells them, without which the code must not run.
    """

    name: str
    lanes: int
    registers: int
    fma: bool
    cpu: str
    features: str
    triple: str = "x86_64-unknown-linux-gnu"
    needs: tuple[str, ...] = ()

    @property
    def block(self) -> int:
        """Channels of one block in memory."""
        return self.lanes


_V2 = ("sse4_2", "ssse3", "popcnt")
_V3 = (*_V2, "avx2", "fma", "bmi2", "f16c")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

TARGETS: tuple[Target, ...] = (
    # The 256-bit preference of some processor models would split every 512-bit operation in two.
    Target("x86-64-v4", 16, 32, fma=True, cpu="x86-64-v4", features="-prefer-256-bit", needs=_V4),
    Target("x86-64-v3", 8, 16, fma=True, cpu="x86-64-v3", features="", needs=_V3),
    Target("x86-64-v2", 4, 16, fma=False, cpu="x86-64-v2", features="", needs=_V2),
)


def target_named(name: str) -> Target:
    """The target that users call `name`.

    Raises:
        UnsupportedError: there is none of that name.
    """
    for target in TARGETS:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in TARGETS)
    raise UnsupportedError("target", f"one of {names}", f"got {name!r}", "leave --target out to use this machine's")


def best_target(flags: frozenset[str]) -> Target:
    """The widest target whose needs the processor flags meet.

    Raises:
        UnsupportedError: not even the narrowest fits.
    """
    for target in TARGETS:
        if flags.issuperset(target.needs):
            return target
    missing = sorted(set(TARGETS[-1].needs) - flags)
    raise UnsupportedError("this processor", f"{TARGETS[-1].name} or better", f"it lacks {', '.join(missing)}")
