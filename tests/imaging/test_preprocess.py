from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.pictures import noise, plain

from alula.base.errors import ImageError, LimitError, SettingsError
from alula.imaging.picture import Picture
from alula.imaging.preprocess import KERNELS, Normalise, Preprocessing, Resize


def _run(rule: Preprocessing, pixels: np.ndarray) -> np.ndarray:
    out = rule.empty()
    rule.run(Picture(pixels), out)
    return out


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize(("height", "width"), [(90, 61), (61, 90), (40, 40)])
def test_equals_pillow_and_numpy_to_the_bit(kernel: str, height: int, width: int) -> None:
    """Preprocessing moves accuracy more than int8 does: no bit may differ from the reference."""
    rule = Preprocessing(
        resize=Resize(kernel, short_side=32),
        crop=(24, 28),
        normalise=Normalise(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
    pixels = noise(height, width)
    long_side = int(32 * max(height, width) / min(height, width))
    tall, wide = (long_side, 32) if height > width else (32, long_side)
    image = np.asarray(Image.fromarray(pixels).resize((wide, tall), KERNELS[kernel]))
    top, left = round((tall - 24) / 2), round((wide - 28) / 2)
    crop = image[top : top + 24, left : left + 28].astype(np.float32) / np.float32(255)
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    expected = ((crop - mean) / deviation).transpose(2, 0, 1)[None]

    np.testing.assert_array_equal(_run(rule, pixels), expected)


def test_fixed_size_does_not_keep_the_aspect() -> None:
    """`size` means exactly that size: height, then width."""
    rule = Preprocessing(resize=Resize("bicubic", size=(20, 30)))
    pixels = noise(64, 64)

    out = _run(rule, pixels)

    image = np.asarray(Image.fromarray(pixels).resize((30, 20), Image.Resampling.BICUBIC), np.float32)
    np.testing.assert_array_equal(out[0], image.transpose(2, 0, 1))


def test_bgr_and_channels_last() -> None:
    """Colour order and layout are the model's; mean and deviation follow its colour order."""
    rule = Preprocessing(layout="NHWC", colour="BGR", crop=(2, 2), normalise=Normalise(1.0, (1.0, 2.0, 3.0)))

    out = _run(rule, plain(30, 20, 10))

    assert out.shape == (1, 2, 2, 3)
    assert out[0, 0, 0].tolist() == [9.0, 18.0, 27.0]


def test_uint8_models_get_plain_pixels() -> None:
    """A model that normalises by itself takes the pixels as they are."""
    rule = Preprocessing(dtype="uint8", crop=(8, 8))

    out = _run(rule, noise(8, 8))

    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[0], noise(8, 8).transpose(2, 0, 1))


def test_pixels_are_left_alone() -> None:
    """A picture may be used again after a run."""
    pixels = noise(16, 16)

    _run(Preprocessing(crop=(16, 16), normalise=Normalise(2.0)), pixels)

    np.testing.assert_array_equal(pixels, noise(16, 16))


def test_picture_smaller_than_the_crop_is_an_error() -> None:
    """No padding is invented."""
    with pytest.raises(ImageError, match="at least 64 x 64 pixels, it has 16 x 16"):
        _run(Preprocessing(crop=(64, 64)), noise(16, 16))


def test_extreme_aspect_is_refused_before_it_costs_memory() -> None:
    """Attack: a picture of 1 x 100000 pixels, its short side resized to 256, would become 6.5 thousand million."""
    rule = Preprocessing(resize=Resize(short_side=256), crop=(224, 224))

    with pytest.raises(LimitError, match="once resized"):
        _run(rule, np.zeros((1, 100_000, 3), np.uint8))


def test_a_declaration_must_fix_the_size() -> None:
    """The tensor's shape is known before the first picture."""
    with pytest.raises(SettingsError, match=r"crop\.centre or resize\.size"):
        Preprocessing(resize=Resize(short_side=256))
