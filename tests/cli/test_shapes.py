from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.classifier import Classifier, write_classifier
from support.commands import Command
from support.staged import rows_graph, saved_model

from alula.engine.runtime.file import read_header


@pytest.fixture
def model(files: Classifier) -> Path:
    """The classifier over [N, 3, 8, 8]."""
    return write_classifier(files.model.parent, batch="N").model


@pytest.fixture
def several(alula: Command, model: Path) -> Path:
    """Its plans for batches of 1, 2 and 4, in one file."""
    assert alula("compile", model, "--shape", "x={1,2,4}x3x8x8").code == 0
    return model.with_suffix(".alula")


def test_one_file_holds_the_plans_of_all_declared_shapes(alula: Command, model: Path) -> None:
    """What came out is said in numbers and in shapes."""
    shown = alula("compile", model, "--shape", "x={1..3}x3x8x8")
    summary = alula("compile", model, "--shape", "x={1..3}x3x8x8", "--json").json

    assert "3 plans: x [1, 3, 8, 8]; x [2, 3, 8, 8]; x [3, 3, 8, 8]" in shown.out
    assert summary["plans"] == 3
    assert set(summary["seconds"]) >= {"optimise", "plan", "emit", "total"}


def test_the_file_runs_every_shape_and_carries_its_labels(alula: Command, files: Classifier) -> None:
    """As a file of one plan does, with the results of the model."""
    model = write_classifier(files.model.parent, batch="N").model
    shapes = ("--shape", "x={1,2}x3x8x8")
    alula("compile", model, *shapes, "--preprocess", files.preprocess, "--labels", files.labels)
    plan = model.with_suffix(".alula")
    np.save(files.array, np.ones((2, 3, 8, 8), np.float32))

    picture = alula("run", plan, files.picture, "--top", "1")
    batch = alula("run", plan, f"x={files.array}", "--json").json

    assert picture.out.splitlines()[1].split()[1] == "green"
    assert batch[0]["outputs"][0]["shape"] == [2, 3]
    assert batch == alula("run", model, f"x={files.array}", "--json").json


def test_a_shape_that_is_not_inside_is_answered_with_what_is(alula: Command, several: Path, files: Classifier) -> None:
    """Four parts; nothing runs."""
    np.save(files.array, np.ones((3, 3, 8, 8), np.float32))

    shown = alula("run", several, f"x={files.array}")

    assert (shown.code, shown.out) == (2, "")
    assert "x [1, 3, 8, 8]; x [2, 3, 8, 8]; x [4, 3, 8, 8], got x [3, 3, 8, 8]" in shown.err
    assert "try: compile the model with this shape too" in shown.err


def test_run_takes_only_declared_shapes_of_a_model(alula: Command, model: Path, files: Classifier) -> None:
    """A range says which sizes there may be."""
    np.save(files.array, np.ones((3, 3, 8, 8), np.float32))
    words = ("run", model, f"x={files.array}", "--shape")

    assert alula(*words, "x={1..4}x3x8x8").code == 0
    assert "need shapes among x [1, 3, 8, 8]; x [2, 3, 8, 8]" in alula(*words, "x={1,2}x3x8x8").err


@pytest.mark.parametrize("command", ["check", "show", "bench"])
def test_commands_of_one_shape_say_so(command: str, alula: Command, model: Path) -> None:
    """Not every command has a meaning for a set of shapes."""
    words = ("show", "plan", model) if command == "show" else (command, model)

    shown = alula(*words, "--shape", "x={1,2}x3x8x8")

    assert shown.code == 2
    assert "--shape: needs one shape for each input here, 2 combinations: x [1, 3, 8, 8]; x [2, 3, 8, 8]" in shown.err


def test_a_range_without_end_is_refused_at_once(alula: Command, model: Path) -> None:
    """The limit stands in the message."""
    shown = alula("compile", model, "--shape", "x={1..100000000}x3x8x8")

    assert shown.code == 2
    assert "may declare 1 to 256 combinations, these are 100000000" in shown.err
    assert not model.with_suffix(".alula").exists()


def test_show_plan_names_all_plans_and_shows_the_one_asked_for(alula: Command, several: Path) -> None:
    """Also on machines without the compiler."""
    first = alula("show", "plan", several).out
    third = alula("show", "plan", several, "--shape", "x=4x3x8x8").out
    none = alula("show", "plan", several, "--shape", "x=3x3x8x8")

    assert "one of 3 plans: x [1, 3, 8, 8]; x [2, 3, 8, 8]; x [4, 3, 8, 8]; --shape shows another" in first
    assert "input x float32 [1, 3, 8, 8]" in first
    assert "input x float32 [4, 3, 8, 8]" in third
    assert (none.code, none.out) == (2, "")


def test_bench_measures_the_plan_asked_for(alula: Command, several: Path) -> None:
    """Without a shape it says which there are."""
    shown = alula("bench", several, "--seconds", "0.1", "--shape", "x=2x3x8x8", "--json")
    refused = alula("bench", several, "--seconds", "0.1")

    assert shown.json["engines"][0]["median"] > 0
    assert refused.code == 2
    assert "say --shape" in refused.err


def test_steps_of_a_plan_file_say_native_or_host_and_why(alula: Command, files: Classifier) -> None:
    """The same marks from the model and from the file."""
    alula("compile", files.model)
    for source in (files.model, files.model.with_suffix(".alula")):
        steps = [line.split() for line in alula("show", "plan", source).out.splitlines() if line.strip()[:1].isdigit()]
        assert [words[1] for words in steps] == ["native"] * 3


def test_a_model_in_stages_is_shown_part_by_part(alula: Command, tmp_path: Path) -> None:
    """What is compiled, what the host runs and why, and what waits for sizes."""
    path = saved_model(tmp_path, rows_graph(32, 96))

    shown = alula("show", "plan", path).out

    assert "runs in stages, since sizes depend on data" in shown
    assert "part native: 5 nodes\nplan rows" in shown
    assert " native convolution" in shown
    assert "  host   Range                counter: the size of count depends on data" in shown
    assert "part behind them: 4 nodes that wait for count, row; cut and compiled again by the sizes" in shown


def test_parts_below_what_a_plan_is_worth_are_shown_as_such(alula: Command, tmp_path: Path) -> None:
    """Nothing is said to be native that is not."""
    shown = alula("show", "plan", saved_model(tmp_path, rows_graph(8, 8))).out

    assert "below 4194304 they run by reference" in shown
    assert " native convolution" not in shown


def test_plans_of_every_batch_are_what_single_files_hold(alula: Command, several: Path, model: Path) -> None:
    """The first plan of several is the plan that one shape gives."""
    single = model.with_name("single.alula")
    alula("compile", model, "-o", single, "--shape", "x=2x3x8x8")

    assert read_header(several, 1).steps == read_header(single).steps
    assert read_header(several, 1).values == read_header(single).values
