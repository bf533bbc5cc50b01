from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from alula.base.errors import SettingsError
from alula.imaging.declaration import parse_preprocessing
from alula.imaging.preprocess import KERNELS, Normalise, Preprocessing, Resize, to_toml

EXAMPLE = """
resize = {short_side = 256, kernel = "bicubic"}
crop = {centre = [224, 224]}
normalise = {mean = [127, 127, 127], deviation = [128, 128, 128]}

[input]
name = "images"
"""
SIDES = some.integers(1, 4096)
NUMBERS = some.floats(-1e6, 1e6).filter(bool)
THREE = some.tuples(NUMBERS, NUMBERS, NUMBERS)
NAMES = some.text(max_size=20).filter(str.isprintable)
RULES = some.builds(
    Preprocessing,
    name=NAMES,
    layout=some.sampled_from(["NCHW", "NHWC"]),
    colour=some.sampled_from(["RGB", "BGR"]),
    resize=some.none() | some.builds(Resize, some.sampled_from(sorted(KERNELS)), short_side=SIDES),
    crop=some.tuples(SIDES, SIDES),
    normalise=some.builds(Normalise, NUMBERS, THREE, THREE),
    scores=some.sampled_from(["logits", "probabilities"]),
)


def test_example_means_what_it_says() -> None:
    """Inline tables and headed tables are the same declaration."""
    rule = parse_preprocessing(EXAMPLE)

    assert rule == Preprocessing(
        name="images",
        resize=Resize("bicubic", short_side=256),
        crop=(224, 224),
        normalise=Normalise(1.0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    )
    assert rule.shape == (1, 3, 224, 224)


@given(RULES)
def test_canonical_text_gives_the_same_record(rule: Preprocessing) -> None:
    """What is written into a plan file is what was declared."""
    assert parse_preprocessing(to_toml(rule)) == rule


def test_fingerprint_sees_meaning_not_spelling() -> None:
    """A server compares fingerprints: comments do not count, numbers do."""
    rule = parse_preprocessing(EXAMPLE)

    assert parse_preprocessing("# a comment\n" + EXAMPLE).fingerprint == rule.fingerprint
    assert parse_preprocessing(EXAMPLE.replace("128", "129")).fingerprint != rule.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[crop]\ncenter = [1, 1]", "knows the keys centre, found center"),
        ("[colour]\n", "knows the keys"),
        ("[crop]\ncentre = [0, 1]", "whole numbers from 1 to 4096"),
        ("[crop]\ncentre = [5000, 1]", "whole numbers from 1 to 4096"),
        ("[crop]\ncentre = [true, 1]", "whole numbers"),
        ("[crop]\ncentre = 224", r"needs \[height, width\]"),
        ("crop = 3", "needs to be a table"),
        ("[resize]\nkernel = 'bicubic'", "one of size and short_side"),
        ("[resize]\nshort_side = 1\nsize = [1, 1]", "one of size and short_side"),
        ("[resize]\nsize = [1, 1]\nkernel = 'area'", "needs one of bicubic, bilinear"),
        ("[resize]\nsize = [1, 1]\nkernel = []", "needs one of"),
        ("[crop]\ncentre = [1, 1]\n[normalise]\ndeviation = [0, 1, 1]", "other than 0"),
        ("[crop]\ncentre = [1, 1]\n[normalise]\nmean = [nan, 1, 1]", "3 finite numbers"),
        ("[crop]\ncentre = [1, 1]\n[normalise]\nscale = inf", "1 finite number"),
        ("[crop]\ncentre = [1, 1]\n[input]\nlayout = 'CHWN'", "needs one of NCHW, NHWC"),
        ('[crop]\ncentre = [1, 1]\n[input]\nname = "a\\u0000"', "printable"),
        ("[crop]\ncentre = [1, 1]\n[input]\ndtype = 'uint8'\n[normalise]\nscale = 2", "needs input.dtype float32"),
        ("not toml", "needs to be TOML"),
        ("a = " + "[" * 5000, "needs to be TOML"),
        ("#" * 20000, "may have 16384 characters"),
        ("", "which fix the size"),
    ],
)
def test_bad_declarations_are_refused_with_the_place(text: str, message: str) -> None:
    """A typing mistake never falls back to a default silently."""
    with pytest.raises(SettingsError, match=message):
        parse_preprocessing(text)
