from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.models import labels, lite0_path, photos
from support.plans import RUNNABLE
from support.serving import ask, served

from alula.engine.graph.nodes import Array
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model
from alula.engine.sessions.reference import ReferenceSession
from alula.imaging.classify import classify
from alula.imaging.declaration import parse_preprocessing
from alula.imaging.decode import decode
from alula.workbench.check import check_model

DECLARATION = Path(__file__).parents[2] / "examples" / "lite0.preprocess.toml"
# The published network itself is right on 18 of them.
RIGHT = 18


@pytest.fixture(scope="session")
def inputs() -> tuple[Array, ...]:
    """Twenty photographs as the example's declaration prepares them, float32 [1, 3, 224, 224] each."""
    rule = parse_preprocessing(DECLARATION.read_text(encoding="utf-8"))
    prepared = []
    for path, _ in photos():
        tensor = rule.empty()
        rule.run(decode(path.read_bytes()), tensor)
        prepared.append(tensor)
    return tuple(prepared)


@pytest.fixture(scope="session")
def expected(inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """ONNX Runtime's logits for them."""
    session = onnxruntime.InferenceSession(lite0_path(), providers=["CPUExecutionProvider"])
    return tuple(session.run(None, {"images": tensor})[0] for tensor in inputs)


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network compiled for this machine."""
    return compiled(tmp_path_factory.mktemp("lite0"))


def compiled(folder: Path, target: str = "") -> Path:
    """The network's plan for a target."""
    path = folder / "lite0.alula"
    compile_graph(import_model(lite0_path()), path, CompileOptions(target=target, jobs=1))
    return path


def answers(plan: Path, inputs: tuple[Array, ...], threads: int = 1) -> list[Array]:
    """Logits for each input."""
    with open_plan(plan, threads=threads) as session:
        return [np.array(np.asarray(session.run({"images": tensor})["logits"])) for tensor in inputs]


def test_lite0_sees_in_photographs_what_onnxruntime_sees(
    plan: Path, inputs: tuple[Array, ...], expected: tuple[Array, ...]
) -> None:
    """Every logit within 1e-4, the same first label on all, the true label on as many as the network can."""
    found = answers(plan, inputs)

    assert [int(logits.argmax()) for logits in found] == [int(logits.argmax()) for logits in expected]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert sum(int(logits.argmax()) == label for logits, (_, label) in zip(found, photos(), strict=True)) >= RIGHT


def test_lite0_gives_the_same_bits_with_two_threads(plan: Path, inputs: tuple[Array, ...]) -> None:
    """How work is shared decides who computes a value, not how."""
    one, two = answers(plan, inputs[:4]), answers(plan, inputs[:4], threads=2)

    assert [logits.tobytes() for logits in one] == [logits.tobytes() for logits in two]


@pytest.mark.parametrize("target", [target.name for target in RUNNABLE[1:]])
def test_lite0_gives_the_same_on_older_instruction_sets(
    target: str, inputs: tuple[Array, ...], expected: tuple[Array, ...], tmp_path: Path
) -> None:
    """One model, three machines, one answer."""
    found = answers(compiled(tmp_path, target), inputs[:5])

    np.testing.assert_allclose(found, expected[:5], rtol=0, atol=1e-4)


def test_reference_agrees_with_onnxruntime(inputs: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    """The truth that kernels are held to is itself held to another's."""
    session = ReferenceSession.open(lite0_path())

    found = np.asarray(session.run({"images": inputs[0]})["logits"])

    np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-4)


def test_every_step_of_lite0_agrees_with_its_reference(inputs: tuple[Array, ...]) -> None:
    """The same bar as `alula check`: each step on its own inputs, and the whole."""
    report = check_model(lite0_path(), CompileOptions(), {"images": inputs[0]})

    assert report.first_wrong is None
    assert len(report.steps) > 40


def test_answers_over_http_are_those_of_this_process(plan: Path, inputs: tuple[Array, ...], tmp_path: Path) -> None:
    """Photographs sent to a server get the labels and scores that the session's logits give here."""
    names = labels()
    rule = parse_preprocessing(DECLARATION.read_text(encoding="utf-8"))
    some = list(zip(photos(), inputs, strict=True))[::5]
    here = [classify(logits, names, 5, rule.scores) for logits in answers(plan, tuple(tensor for _, tensor in some))]
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8")

    with served(plan, "--preprocess", DECLARATION, "--labels", tmp_path / "labels.txt") as (_, connection):
        there = [ask(connection, path.read_bytes(), "image/jpeg") for (path, _), _ in some]

    for (status, answer), wanted in zip(there, here, strict=True):
        assert status == 200
        assert [(row["label"], row["index"]) for row in answer["predictions"]] == [(w.label, w.index) for w in wanted]
        assert [row["score"] for row in answer["predictions"]] == pytest.approx([w.score for w in wanted])
