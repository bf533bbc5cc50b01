"""Signals and their spectra: windows, discrete Fourier transforms, mel filters.

In: lengths, or signals whose last axis is [real] or [real, imaginary]. Out: arrays in the dtype asked for; windows and
filters are computed in float64 and rounded once, spectra in the precision of the signal, float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.common import Mismatch, agree, axis_of, integers, show, with_input, without
from alula.engine.operators.convert import dtype_numbered
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator, UnknownShape
from alula.engine.operators.window import check_elements

# Oppenheim and Schafer, "Discrete-Time Signal Processing", 7.2; Hamming's numbers as the standard has them.
_HAMMING = (25 / 46, 21 / 46, 0.0)
_HANN = (0.5, 0.5, 0.0)
_BLACKMAN = (0.42, 0.5, 0.08)
# Hertz to mel, O'Shaughnessy, "Speech Communication", 1987: 2595 log10(1 + f / 700).
_MEL, _MEL_HERTZ = 2595.0, 700.0
_COMPLEX = 2


def _scalar(array: Array, name: str, least: int = 0) -> int:
    numbers = integers(array)
    if len(numbers) != 1 or numbers[0] < least:
        raise Mismatch(f"{name} must be one number of at least {least}", f"it is {list(numbers)}")
    return numbers[0]


def _window(weights: Sequence[float]) -> Callable[..., Array]:
    """Weights of a sum of cosines, a - b cos(t) + c cos(2t); symmetric ones end where periodic ones would go on."""

    def reference(size: Array, *, output_datatype: int, periodic: int) -> Array:
        count = _scalar(size, "size")
        check_elements((count,))
        turns = 2 * np.pi * np.arange(count) / max(count if periodic else count - 1, 1)
        y = weights[0] - weights[1] * np.cos(turns) + weights[2] * np.cos(2 * turns)
        return np.asarray(y.astype(numpy_dtype(dtype_numbered(output_datatype))))

    return reference


def _infer_window(at: Inference) -> Inferred:
    return [(dtype_numbered(at.attributes["output_datatype"]), (_scalar(at.constant(0), "size"),))]


def _complex(x: Array) -> Array:
    """The signal as complex numbers, or real ones where there is no imaginary part, in the precision of x."""
    wide = widened(x)
    return np.asarray(wide[..., 0] + 1j * wide[..., 1] if x.shape[-1] == _COMPLEX else wide[..., 0])


def _parts(y: Array, dtype: Any) -> Array:
    return np.stack([y.real, y.imag], -1).astype(dtype)


def _transformed_axis(shape: Shape, axis: Array | None) -> int:
    place = axis_of(-2 if axis is None else integers(axis)[0], len(shape))
    if place == len(shape) - 1 or not any(agree(shape[-1], parts) for parts in (1, _COMPLEX)):
        raise Mismatch("the last axis must hold 1 or 2 parts and not be transformed", f"{show(shape)}, axis {place}")
    return place


def dft(x: Array, length: Array | None = None, axis: Array | None = None, *, inverse: int, onesided: int) -> Array:
    """The discrete Fourier transform along an axis; onesided keeps (or with inverse, expects) the first half only."""
    place = _transformed_axis(x.shape, axis)
    count = _length(x.shape[place], length, half=bool(inverse and onesided))
    signal = _complex(x)
    if inverse and onesided:
        return np.asarray(np.fft.irfft(signal, count, place)[..., None].astype(x.dtype))
    y = (np.fft.ifft if inverse else np.fft.fft)(signal, count, place)
    return _parts(y.take(range(count // 2 + 1), place) if onesided else y, x.dtype)


def _length(size: Any, length: Array | None, *, half: bool) -> Any:
    if length is not None:
        count = _scalar(length, "dft_length", 1)
        check_elements((count,))
        return count
    return (size - 1) * 2 if half else size


def _infer_dft(at: Inference) -> Inferred:
    x = at.shape(0)
    place = _transformed_axis(x, at.constant(2) if at.has(2) else None)
    inverse, onesided = at.attributes["inverse"], at.attributes["onesided"]
    count: Dim = _length(x[place], at.constant(1) if at.has(1) else None, half=bool(inverse and onesided))
    size = count // 2 + 1 if onesided and not inverse else count
    parts = 1 if onesided and inverse else _COMPLEX
    return [(at.dtype(0), (*x[:place], size, *x[place + 1 : -1], parts))]


def _upgrade_dft(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 20, the axis was an attribute, 1 by default."""
    if version >= 20:  # noqa: PLR2004
        return node
    return with_input(without(node, "axis"), 2, constant(np.asarray(node.integer("axis", 1), np.int64)))


def stft(x: Array, step: Array, window: Array | None = None, length: Array | None = None, *, onesided: int) -> Array:
    """The Fourier transform of each windowed frame of [batch, time, parts]: [batch, frames, bins, 2]."""
    count, hop = _frame(x.shape, window, length), _scalar(step, "frame_step", 1)
    if count > x.shape[1]:
        raise Mismatch(f"a frame of {count} must fit into the signal", f"which has {x.shape[1]}")
    signal = _complex(x)
    frames = np.lib.stride_tricks.sliding_window_view(signal, count, 1)[:, ::hop]
    weighted = frames if window is None else frames * widened(window)
    y = np.fft.fft(weighted, axis=-1)
    return _parts(y[..., : count // 2 + 1] if onesided else y, x.dtype)


def _frame(x: Shape, window: Any, length: Array | None) -> Any:
    """The length of a frame, from the length itself, the window, or the signal."""
    if len(x) != 3:  # noqa: PLR2004  batch, time, parts
        raise Mismatch("the signal must be [batch, time, parts]", f"it is {show(x)}")
    given = None if length is None else _scalar(length, "frame_length", 1)
    if window is None:
        return x[1] if given is None else given
    if given is not None and given != window.shape[0]:
        raise Mismatch(f"the window must have frame_length {given}", f"it has {window.shape[0]}")
    return window.shape[0]


def _infer_stft(at: Inference) -> Inferred:
    x, hop = at.shape(0), _scalar(at.constant(1), "frame_step", 1)
    _transformed_axis(x, None)
    window = at.inputs[2].value if at.has(2) and at.inputs[2] is not None else None
    if window is not None and window.shape is None:
        raise UnknownShape
    count = _frame(x, window, at.constant(3) if at.has(3) else None)
    frames = (x[1] - count) // hop + 1
    return [(at.dtype(0), (x[0], frames, count // 2 + 1 if at.attributes["onesided"] else count, _COMPLEX))]


def mel_weights(
    bins: Array, length: Array, rate: Array, lowest: Array, highest: Array, *, output_datatype: int
) -> Array:
    """Triangles at equal distances in mel over the bins of a spectrum: [length // 2 + 1, bins]."""
    count, size = _scalar(bins, "num_mel_bins"), _scalar(length, "dft_length", 1)
    check_elements((size // 2 + 1, count))
    edges = [_MEL * np.log10(1 + float(hertz.reshape(())) / _MEL_HERTZ) for hertz in (lowest, highest)]
    mels = edges[0] + np.arange(count + 2) * (edges[1] - edges[0]) / (count + 2)
    hertz = _MEL_HERTZ * (10 ** (mels / _MEL) - 1)
    corners = np.floor((size + 1) * hertz / _scalar(rate, "sample_rate", 1)).astype(np.int64)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    bin_ = np.arange(size // 2 + 1)[:, None]
    rising = np.where(peak == left, 1.0, (bin_ - left) / (peak - left)) * ((bin_ >= left) & (bin_ <= peak))
    falling = (right - bin_) / (right - peak)
    y = np.where((bin_ >= peak) & (bin_ < right), falling, rising)
    return np.asarray(y.astype(numpy_dtype(dtype_numbered(output_datatype))))


def _infer_mel(at: Inference) -> Inferred:
    shape = (_scalar(at.constant(1), "dft_length", 1) // 2 + 1, _scalar(at.constant(0), "num_mel_bins"))
    return [(dtype_numbered(at.attributes["output_datatype"]), shape)]


def _window_operator(name: str, weights: Sequence[float], summary: str) -> Operator:
    return Operator(
        name=name, since=(17,), inputs=("size",), infer=_infer_window, reference=_window(weights), summary=summary,
        attributes=MappingProxyType({"output_datatype": 1, "periodic": 1}),
    )  # fmt: skip


DFT = Operator(
    name="DFT",
    since=(17, 20),
    inputs=("x", "dft_length?", "axis?"),
    attributes=MappingProxyType({"inverse": 0, "onesided": 0}),
    infer=_infer_dft,
    reference=dft,
    upgrade=_upgrade_dft,
    summary="The discrete Fourier transform along an axis.",
)

STFT = Operator(
    name="STFT",
    since=(17,),
    inputs=("x", "frame_step", "window?", "frame_length?"),
    attributes=MappingProxyType({"onesided": 1}),
    infer=_infer_stft,
    reference=stft,
    summary="The Fourier transforms of windowed frames.",
)

MEL_WEIGHTS = Operator(
    name="MelWeightMatrix",
    since=(17,),
    inputs=("num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"),
    attributes=MappingProxyType({"output_datatype": 1}),
    infer=_infer_mel,
    reference=mel_weights,
    summary="Triangular filters at equal distances in mel.",
)

OPERATORS = (
    _window_operator("HannWindow", _HANN, "The Hann window."),
    _window_operator("HammingWindow", _HAMMING, "The Hamming window."),
    _window_operator("BlackmanWindow", _BLACKMAN, "The Blackman window."),
    DFT,
    STFT,
    MEL_WEIGHTS,
)
