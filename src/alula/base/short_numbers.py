"""Numbers of 8 bits and less, decoded without numpy.

In: the name of an element type and a byte. Out: a Python number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ShortFloat:
    """A sign bit, exponent bits, mantissa bits.

    Attributes:
        bias: what is taken off the exponent.
        nans: the bytes that are no number, the sign left out; `{0}` stands for the byte of the negative zero.
        infinity: the byte that is infinite, the sign left out; None where the type has none.
    """

    exponent: int
    mantissa: int
    bias: int
    nans: frozenset[int] = frozenset()
    infinity: int | None = None

    def decode(self, byte: int) -> float:
        """The number that a byte stands for."""
        bits = self.exponent + self.mantissa
        rest = byte & ((1 << bits) - 1)
        negative = bool(byte >> bits & 1)
        if rest in self.nans and (rest or negative):
            return math.nan
        if rest == self.infinity:
            return -math.inf if negative else math.inf
        power, fraction = rest >> self.mantissa, rest & ((1 << self.mantissa) - 1)
        if power:
            fraction += 1 << self.mantissa
        size = math.ldexp(fraction, max(power, 1) - self.bias - self.mantissa)
        return -size if negative else size


# Micikevicius et al. 2022 (arXiv 2209.05433) for E4M3FN and E5M2, Noune et al. 2022 (arXiv 2206.02915) for FNUZ, the
# OCP Microscaling Formats specification 1.0 (2023) for E2M1 and E8M0.
_FLOATS: Mapping[str, ShortFloat] = MappingProxyType(
    {
        "float8_e4m3fn": ShortFloat(4, 3, 7, frozenset({0x7F})),
        "float8_e4m3fnuz": ShortFloat(4, 3, 8, frozenset({0})),
        "float8_e5m2": ShortFloat(5, 2, 15, frozenset({0x7D, 0x7E, 0x7F}), 0x7C),
        "float8_e5m2fnuz": ShortFloat(5, 2, 16, frozenset({0})),
        "float4_e2m1fn": ShortFloat(2, 1, 1),
    }
)
_SIGNED = MappingProxyType({"int4": 4, "int2": 2})
_SCALE, _SCALE_BIAS, _NO_SCALE = "float8_e8m0fnu", 127, 0xFF


def decode_short(dtype: str, byte: int) -> float:
    """The number that a byte stands for; of types of less than 8 bits, its lowest bits.

    Args:
        dtype: a name among those that ml_dtypes has for types of 8 bits and less.
        byte: what stands in memory.
    """
    if dtype == _SCALE:  # a power of two, no sign, no zero
        return math.nan if byte == _NO_SCALE else math.ldexp(1.0, byte - _SCALE_BIAS)
    if dtype in _FLOATS:
        return _FLOATS[dtype].decode(byte)
    bits = _SIGNED.get(dtype, 0)
    if not bits:
        return byte
    rest = byte & ((1 << bits) - 1)
    return rest - (1 << bits) if rest >> (bits - 1) else rest
