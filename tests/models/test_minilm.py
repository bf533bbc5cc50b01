"""all-MiniLM-L6-v2 with int8 weights, in its own terms: how near the meanings of sentences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from support.models import MINILM, MINILM_VOCABULARY, fetched
from support.wordpiece import read_vocabulary, tokens

import alula
from alula.engine.graph.nodes import Array
from alula.engine.sessions.compiler import CompileOptions
from alula.workbench.survey import survey

PAIR = ("How do I reset my password?", "I forgot my login and need a new password.")
OTHERS = ("The weather in Lisbon is sunny today.", "Dogs are loyal animals.")

Run = Callable[[Mapping[str, Array]], Array]


def embedding(run: Run, sentence: str, room: int = 0) -> Array:
    """The mean over tokens, of length 1; `room` pads with masked tokens."""
    numbers = tokens(sentence, read_vocabulary(fetched(MINILM_VOCABULARY)))
    ids = np.array([numbers + [0] * room], np.int64)
    mask = np.array([[1] * len(numbers) + [0] * room], np.int64)
    hidden = run({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
    mean = (hidden * mask[0][:, None]).sum(0) / mask.sum()
    return np.asarray(mean / np.linalg.norm(mean))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model through alula."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("minilm")))
        with closing(alula.open(fetched(MINILM), alula.OpenOptions(threads=1))) as session:
            name = session.outputs[0].name
            yield lambda feeds: np.array(np.asarray(session.run(feeds)[name]))


def test_related_sentences_are_near_and_unrelated_ones_are_not(run: Run) -> None:
    """The model's purpose, at three lengths of sentences."""
    one, two, *others = (embedding(run, sentence) for sentence in (*PAIR, *OTHERS))

    assert one @ two > 0.6
    assert all(abs(one @ other) < 0.2 for other in others)


@pytest.mark.parametrize("sentence", [*PAIR, *OTHERS])
def test_embeddings_are_those_of_onnxruntime(run: Run, sentence: str) -> None:
    """Rule: the angle between the two is none that could be told."""
    theirs = onnxruntime.InferenceSession(fetched(MINILM), providers=["CPUExecutionProvider"])

    found = embedding(run, sentence)

    wanted = embedding(lambda feeds: np.asarray(theirs.run(None, dict(feeds))[0]), sentence)
    assert found @ wanted > 1 - 1e-6


def test_masked_tokens_change_nothing(run: Run) -> None:
    """A sentence in a longer row keeps its meaning: the mask reaches the softmax."""
    assert embedding(run, PAIR[0]) @ embedding(run, PAIR[0], room=7) > 1 - 1e-6


def test_no_step_of_the_model_runs_by_reference() -> None:
    """Embedding, masks and norms included."""
    found = survey(Path(fetched(MINILM)), CompileOptions())

    assert [verdict for verdict in found.verdicts if verdict.how != "native"] == []
