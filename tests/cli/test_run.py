from __future__ import annotations

import shutil

import numpy as np
import pytest
from support.classifier import LABELS, Classifier, write_classifier
from support.commands import Command
from support.pictures import jpeg, plain


@pytest.mark.parametrize("provider", ["native", "reference", "onnxruntime"])
def test_picture_gets_its_labels_best_first(provider: str, alula: Command, files: Classifier) -> None:
    """From a file of pixels to words, whoever computes."""
    extras = ("--preprocess", files.preprocess, "--labels", files.labels)

    shown = alula("run", files.model, files.picture, *extras, "--provider", provider)

    assert (shown.code, shown.err) == (0, "")
    first, *rows = shown.out.splitlines()
    assert first.startswith(f"{files.picture}  (ms: read ")
    assert rows[0].split()[1] == "green"
    # softmax of (0, 4, 0): e^4 / (e^4 + 2)
    assert float(rows[0].split()[0]) == pytest.approx(0.9647, abs=1e-3)
    assert sorted(row.split()[1] for row in rows) == sorted(LABELS)


def test_pictures_in_json_have_predictions_and_times_in_order(alula: Command, files: Classifier) -> None:
    """Programs read the same as people; one record a picture, as many labels as asked for."""
    other = files.picture.with_name("blue.jpg")
    other.write_bytes(jpeg(plain(0, 0, 255)))
    extras = ("--preprocess", files.preprocess, "--labels", files.labels)

    records = alula("run", files.model, *extras, files.picture, other, "--top", "2", "--json").json

    assert [record["picture"] for record in records] == [str(files.picture), str(other)]
    assert [record["predictions"][0]["label"] for record in records] == ["green", "blue"]
    assert [record["predictions"][0]["index"] for record in records] == [1, 2]
    assert all(len(record["predictions"]) == 2 for record in records)
    assert list(records[0]["timings_ms"]) == ["read", "decode", "preprocess", "inference", "postprocess"]


def test_preprocessing_and_labels_beside_the_model_are_found(alula: Command, files: Classifier) -> None:
    """NAME.preprocess.toml and NAME.labels.txt need no options."""
    shutil.copy(files.preprocess, files.model.with_name("colours.preprocess.toml"))
    shutil.copy(files.labels, files.model.with_name("colours.labels.txt"))

    assert alula("run", files.model, files.picture).out.splitlines()[1].split()[1] == "green"


def test_arrays_give_raw_outputs_that_can_be_kept(alula: Command, files: Classifier) -> None:
    """NAME=FILE.npy in; a summary out, all numbers in the .npz."""
    kept = files.model.with_name("out.npz")

    (record,) = alula("run", files.model, f"x={files.array}", "--output", kept, "--json").json

    (row,) = record["outputs"]
    with np.load(kept, allow_pickle=False) as archive:
        logits = archive["logits"]
    expected = 4 * np.load(files.array).mean((2, 3))
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert (row["name"], row["dtype"], row["shape"]) == ("logits", "float32", [1, 3])
    assert row["first"] == pytest.approx(logits[0].tolist())
    assert (row["least"], row["most"]) == (pytest.approx(logits.min()), pytest.approx(logits.max()))


def test_array_for_an_only_input_needs_no_name(alula: Command, files: Classifier) -> None:
    """With one input there is nothing to tell apart."""
    shown = alula("run", files.model, files.array)

    assert shown.code == 0
    assert shown.out.startswith("logits float32 [1, 3]: from ")


def test_result_that_is_no_number_is_null_in_json(alula: Command, files: Classifier) -> None:
    """RFC 8259 knows neither NaN nor infinity."""
    array = np.load(files.array)
    array[0, 1] = np.inf
    np.save(files.array, array)

    (record,) = alula("run", files.model, files.array, "--json").json

    assert record["outputs"][0]["first"][1] is None


def test_symbolic_batch_is_bound_by_the_input_or_by_a_shape(alula: Command, files: Classifier) -> None:
    """A model for any batch runs with the batch that comes."""
    symbolic = write_classifier(files.model.parent, batch="N")

    by_input = alula("run", symbolic.model, symbolic.array)
    by_shape = alula("run", symbolic.model, symbolic.array, "--shape", "x=1x3x8x8")

    assert by_input.code == 0
    assert by_input.out == by_shape.out


def test_options_may_stand_before_and_between_inputs(alula: Command, files: Classifier) -> None:
    """The order of options and pictures does not matter."""
    words = ("--preprocess", files.preprocess, files.model, "--top", "1", files.picture, "--json")

    assert alula("run", *words).json[0]["predictions"][0]["index"] == 1
