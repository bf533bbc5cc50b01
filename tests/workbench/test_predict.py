from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from support.classifier import LABELS, Classifier, model_of, write_classifier
from support.pictures import jpeg, plain

from alula.base.errors import ImageError, LimitError, MissingError, RequestError
from alula.base.session import OpenOptions
from alula.base.settings import read_settings
from alula.workbench.bundle import Bundle, BundleFiles, open_bundle
from alula.workbench.predict import predict_arrays, predict_pictures


@pytest.fixture
def files(tmp_path: Path) -> Classifier:
    """A classifier of three colours."""
    return write_classifier(tmp_path)


@pytest.fixture
def bundle(files: Classifier) -> Iterator[Bundle]:
    """It, opened by the reference, which needs no compiling."""
    extras = BundleFiles(str(files.preprocess), str(files.labels))
    opened = open_bundle(files.model, OpenOptions("reference"), read_settings({}), extras)
    yield opened
    opened.session.close()


def test_each_picture_becomes_a_record(bundle: Bundle, files: Classifier) -> None:
    """Colours are told apart, in PNG and JPEG, in the order of the files."""
    red = files.picture.with_name("red.jpg")
    red.write_bytes(jpeg(plain(255, 0, 0)))

    first, second = predict_pictures(bundle, [red, files.picture], 3)

    assert (first["picture"], second["picture"]) == (str(red), str(files.picture))
    assert first["predictions"][0]["label"] == "red"
    assert second["predictions"][0] == {"label": "green", "index": 1, "score": pytest.approx(0.9647, abs=1e-3)}
    assert {row["label"] for row in second["predictions"]} == set(LABELS)
    assert sum(row["score"] for row in second["predictions"]) == pytest.approx(1)
    assert all(value >= 0 for value in second["timings_ms"].values())


def test_pictures_need_a_declaration_and_a_file(bundle: Bundle, files: Classifier) -> None:
    """A picture without rules is no input; a missing or broken file is named for what it is."""
    with pytest.raises(MissingError, match="needs a preprocessing declaration"):
        predict_pictures(Bundle(bundle.session, None, ()), [files.picture], 1)
    with pytest.raises(MissingError, match="needs a picture"):
        predict_pictures(bundle, [files.picture.with_name("gone.png")], 1)
    with pytest.raises(ImageError):
        predict_pictures(bundle, [files.model], 1)


def test_huge_file_is_not_read_whole(bundle: Bundle, files: Classifier) -> None:
    """Attack: a sparse file of 1 TB under a picture's name."""
    with files.picture.open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(LimitError):
        predict_pictures(bundle, [files.picture], 1)


def test_arrays_are_summed_up(bundle: Bundle, files: Classifier) -> None:
    """Name, dtype, shape, extremes and the first values of each output."""
    logits = 4 * np.load(files.array).mean((2, 3))[0]

    result = predict_arrays(bundle, [f"x={files.array}"])

    (row,) = result["outputs"]
    assert (row["name"], row["dtype"], row["shape"]) == ("logits", "float32", [1, 3])
    assert (row["least"], row["most"]) == (pytest.approx(logits.min()), pytest.approx(logits.max()))
    assert row["first"] == pytest.approx(logits.tolist())
    with pytest.raises(RequestError, match="got none"):
        predict_arrays(bundle, [])


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b", "logits"])
def test_outputs_are_kept_under_any_name(name: str, tmp_path: Path) -> None:
    """numpy.savez would take an output named `file` for its own parameter."""
    model, array, kept = tmp_path / "m.onnx", tmp_path / "x.npy", tmp_path / "y.npz"
    node = helper.make_node("Neg", ["x"], [name])
    model.write_bytes(model_of([node], {}, {"x": [2], name: [2]}).SerializeToString())
    np.save(array, np.array([1, -2], np.float32))
    opened = open_bundle(model, OpenOptions("reference"), read_settings({}))

    predict_arrays(opened, [str(array)], str(kept))

    with np.load(kept, allow_pickle=False) as archive:
        assert archive[name].tolist() == [-1, 2]
