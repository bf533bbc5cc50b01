from __future__ import annotations

import pytest
from support.classifier import Classifier, write_classifier
from support.commands import Command

from alula.engine.runtime.file import read_header
from alula.engine.runtime.session import open_plan


def test_plan_stands_beside_the_model(alula: Command, files: Classifier) -> None:
    """Without -o the file has the model's name."""
    shown = alula("compile", files.model)

    plan = files.model.with_suffix(".alula")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"{plan}: ")
    assert "3 steps, 0 on the host" in shown.out
    assert plan.is_file()


def test_plan_carries_preprocessing_and_labels(alula: Command, files: Classifier) -> None:
    """One file is all that a picture needs."""
    plan = files.model.with_name("deployed.alula")
    alula("compile", files.model, "-o", plan, "--preprocess", files.preprocess, "--labels", files.labels)

    shown = alula("run", plan, files.picture, "--top", "1")

    assert shown.out.splitlines()[1].split()[1] == "green"
    with open_plan(plan) as session:
        assert session.extras == {
            "preprocess.toml": files.preprocess.read_bytes(),
            "labels.txt": files.labels.read_bytes(),
        }


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_target_is_the_one_asked_for(target: str, alula: Command, files: Classifier) -> None:
    """Any machine compiles for any other; JSON says what came out."""
    plan = files.model.with_name("older.alula")

    summary = alula("compile", files.model, "-o", plan, "--target", target, "--json").json

    assert (summary["plan"], summary["target"], summary["bytes"]) == (str(plan), target, plan.stat().st_size)
    assert (summary["steps"], summary["host"]) == (3, 0)
    assert set(summary["seconds"]) >= {"optimise", "plan", "emit", "total"}
    assert read_header(plan).target == target


def test_disabled_pass_leaves_its_work_undone(alula: Command, files: Classifier) -> None:
    """Whoever hunts a bug can leave passes out: here ReLU stays a step of its own."""
    plan = files.model.with_name("plain.alula")

    usual = alula("compile", files.model, "--json").json
    without = alula("compile", files.model, "-o", plan, "--disable", "fuse_epilogue", "--json").json

    assert without["steps"] == usual["steps"] + 1


def test_symbolic_shapes_need_numbers_and_take_them(alula: Command, files: Classifier) -> None:
    """The error says which dimension, and the option that binds it."""
    model = write_classifier(files.model.parent, batch="N").model

    refused = alula("compile", model)
    done = alula("compile", model, "--shape", "x=2x3x8x8")

    assert refused.code == 2
    assert refused.err == (
        "ShapeError: input x: needs a number for every dimension, N unbound\n"
        "  input x float32 [N, 3, 8, 8]\n"
        "  try: --shape x=1x3x8x8\n"
    )
    assert done.code == 0
    assert read_header(model.with_suffix(".alula")).inputs[0].shape == (2, 3, 8, 8)


def test_memory_limit_refuses_before_anything_is_written(alula: Command, files: Classifier) -> None:
    """The peak is known beforehand."""
    shown = alula("compile", files.model, "--memory-limit", "10")

    assert shown.code == 2
    assert shown.err.startswith("LimitError: model colours.onnx: needs ")
    assert not files.model.with_suffix(".alula").exists()
