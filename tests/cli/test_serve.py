from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.classifier import LABELS, Classifier
from support.commands import Command
from support.serving import PATIENCE, ask, served


def test_model_is_compiled_and_served(files: Classifier) -> None:
    """An ONNX file with declaration and labels is all that a server needs."""
    words = (files.model, "--preprocess", files.preprocess, "--labels", files.labels)
    with served(*words) as (process, connection):
        status, answer = ask(connection, files.picture.read_bytes())
        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE) == 0
        assert (status, answer["model"], answer["predictions"][0]["label"]) == (200, "colours", LABELS[1])


def test_plan_brings_its_declaration_and_labels(files: Classifier, tmp_path: Path, alula: Command) -> None:
    """A compiled plan is served from one file, and answers as `alula run` does."""
    plan = tmp_path / "deploy" / "colours.alula"
    made = alula("compile", files.model, "-o", plan, "--preprocess", files.preprocess, "--labels", files.labels)
    here = alula("run", plan, files.picture, "--json").json[0]["predictions"]

    with served(plan) as (_, connection):
        status, answer = ask(connection, files.picture.read_bytes())

        assert (made.code, status) == (0, 200)
        assert answer["predictions"] == here


def test_bad_picture_gets_the_same_words_as_on_the_command_line(
    files: Classifier, tmp_path: Path, alula: Command
) -> None:
    """One error has one text: on stderr, and as JSON under a status."""
    words = (files.model, "--preprocess", files.preprocess, "--labels", files.labels)
    bad = tmp_path / "bad.png"
    bad.write_bytes(files.picture.read_bytes()[:40])
    here = alula("run", files.model, bad, *words[1:])

    with served(*words) as (_, connection):
        status, answer = ask(connection, bad.read_bytes())

        assert (here.code, status) == (2, 422)
        assert answer["error"]["message"] == here.err.strip()


def test_model_without_a_declaration_is_refused(files: Classifier, alula: Command) -> None:
    """A server that could not take a picture does not start."""
    outcome = alula("serve", files.model, "--port", "0")

    assert outcome.code == 2
    assert "needs a preprocessing declaration" in outcome.err
    assert "--preprocess" in outcome.err


@pytest.mark.parametrize("words", [("--port", "70000"), ("--workers", "0"), ("--deadline", "-1"), ("--queue", "x")])
def test_numbers_out_of_range_are_refused(words: tuple[str, str], files: Classifier, alula: Command) -> None:
    """A bad number is an error in four parts, not a traceback."""
    outcome = alula("serve", files.model, "--preprocess", files.preprocess, *words)

    assert outcome.code == 2
    assert words[0].lstrip("-") in outcome.err or "port" in outcome.err
