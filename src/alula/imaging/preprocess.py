"""Pixels to model input, as each model declares it in a small TOML text that travels with the model.

In: `Picture`. Out: one tensor [1, 3, H, W] or [1, H, W, 3], written into the caller's buffer.

Steps, always in this order: resize, crop, colour order, normalise. They give what torchvision's transforms give on
Pillow pictures: Pillow's antialiased kernels on uint8, the long side cut to a whole number, crop offsets rounded half
to even.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alula.base.errors import ImageError, LimitError, SettingsError
from alula.imaging.picture import Picture

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# A picture of 1 x 40 million pixels, its short side resized to 256, would become ten thousand million.
_MOST_RESIZED_PIXELS = 16 << 20


@dataclass(frozen=True)
class Resize:
    """Resize to a fixed size, or until the short side has a length.

    Args:
        kernel: one of `KERNELS`.
        size: (height, width), the aspect ratio not kept; or None.
        short_side: pixels of the shorter side, the aspect ratio kept; used where `size` is None.
    """

    kernel: str = "bilinear"
    size: tuple[int, int] | None = None
    short_side: int = 0

    def target(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that a picture of `height` and `width` becomes."""
        if self.size is not None:
            return self.size
        if width <= height:
            return int(self.short_side * height / width), self.short_side
        return self.short_side, int(self.short_side * width / height)


@dataclass(frozen=True)
class Normalise:
    """(pixel / scale - mean) / deviation, each step in float32; mean and deviation in the model's colour order."""

    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants done to a picture, and what its scores are.

    Args:
        name: the model input that takes the tensor; empty for its only one.
        layout: order of the tensor's dimensions.
        colour: order of the tensor's channels.
        dtype: `float32`, or `uint8` where the model normalises by itself.
        resize: the first step, or None.
        crop: (height, width) cut from the centre, or None.
        normalise: the last step; not for uint8.
        scores: what the model's output holds.
    """

    name: str = ""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR"] = "RGB"
    dtype: Literal["float32", "uint8"] = "float32"
    resize: Resize | None = None
    crop: tuple[int, int] | None = None
    normalise: Normalise = field(default_factory=Normalise)
    scores: Literal["logits", "probabilities"] = "logits"

    def __post_init__(self) -> None:
        """Refuse a declaration that leaves the tensor's size open."""
        if self.crop is None and (self.resize is None or self.resize.size is None):
            raise SettingsError("preprocessing", "needs crop.centre or resize.size, which fix the size", "has neither")
        if self.dtype == "uint8" and self.normalise != Normalise():
            raise SettingsError("preprocessing: normalise", "needs input.dtype float32", "it is uint8")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the tensor."""
        size = self.crop or (self.resize.size if self.resize else None)
        return size or (0, 0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The tensor's shape, a batch of one."""
        height, width = self.size
        return (1, 3, height, width) if self.layout == "NCHW" else (1, height, width, 3)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical TOML: equal for declarations that do the same, however they were written."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()

    def empty(self) -> NDArray[Any]:
        """A new buffer for `run`; its content is undefined."""
        return np.empty(self.shape, self.dtype)

    def run(self, picture: Picture, out: NDArray[Any]) -> None:
        """Write the model's input into `out`, an array of `shape` and `dtype`. May be called from any thread.

        Raises:
            ImageError: the picture is smaller than the crop.
            LimitError: its sides are so uneven that resizing it would take too much memory.
        """
        pixels = _centre(_resized(picture.pixels, self.resize), self.crop)
        if self.colour == "BGR":
            pixels = pixels[:, :, ::-1]
        target = out[0] if self.layout == "NHWC" else out[0].transpose(1, 2, 0)
        if self.dtype == "uint8":
            target[...] = pixels
            return
        rule = self.normalise
        np.divide(pixels, np.float32(rule.scale), out=target, dtype=np.float32)
        np.subtract(target, np.array(rule.mean, np.float32), out=target)
        np.divide(target, np.array(rule.deviation, np.float32), out=target)


def _resized(pixels: NDArray[np.uint8], rule: Resize | None) -> NDArray[np.uint8]:
    if rule is None:
        return pixels
    height, width = rule.target(pixels.shape[0], pixels.shape[1])
    if height * width > _MOST_RESIZED_PIXELS:
        found = f"{pixels.shape[1]} x {pixels.shape[0]} would become {width} x {height}"
        raise LimitError("picture", f"may have {_MOST_RESIZED_PIXELS} pixels once resized", found, "crop it first")
    image = Image.fromarray(pixels).resize((width, height), KERNELS[rule.kernel])
    return np.asarray(image)


def _centre(pixels: NDArray[np.uint8], crop: tuple[int, int] | None) -> NDArray[np.uint8]:
    if crop is None:
        return pixels
    height, width = crop
    spare_rows, spare_columns = pixels.shape[0] - height, pixels.shape[1] - width
    if spare_rows < 0 or spare_columns < 0:
        found = f"it has {pixels.shape[1]} x {pixels.shape[0]} before the crop"
        raise ImageError("picture", f"needs at least {width} x {height} pixels", found, "send a larger picture")
    top, left = round(spare_rows / 2), round(spare_columns / 2)
    return pixels[top : top + height, left : left + width]


def to_toml(rule: Preprocessing) -> str:
    """The declaration as canonical TOML: `parse_preprocessing` gives an equal record back."""
    lines = ["[input]"]
    if rule.name:
        # TOML's basic strings escape like JSON's; control characters are refused when a declaration is read.
        escaped = rule.name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'name = "{escaped}"')
    lines += [f'layout = "{rule.layout}"', f'colour = "{rule.colour}"', f'dtype = "{rule.dtype}"']
    if rule.resize:
        size = rule.resize.size
        extent = f"size = {list(size)}" if size else f"short_side = {rule.resize.short_side}"
        lines += ["", "[resize]", extent, f'kernel = "{rule.resize.kernel}"']
    if rule.crop:
        lines += ["", "[crop]", f"centre = {list(rule.crop)}"]
    if rule.dtype == "float32":
        one = rule.normalise
        lines += ["", "[normalise]", f"scale = {one.scale!r}", f"mean = {list(one.mean)}"]
        lines += [f"deviation = {list(one.deviation)}"]
    lines += ["", "[output]", f'scores = "{rule.scores}"', ""]
    return "\n".join(lines)
