"""A classifier's output to labels with scores.

In: one score a class, and the labels. Out: the best few `Prediction`s, best first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alula.base.errors import InternalError, LimitError, SettingsError

_MOST_CHARACTERS = 4 << 20
_LONGEST_LABEL = 500


@dataclass(frozen=True)
class Prediction:
    """A class, how sure the model is (0 to 1), and its label; the label is empty where none is known."""

    label: str
    index: int
    score: float


def classify(
    values: Any,  # noqa: ANN401  anything with a buffer or array interface
    labels: tuple[str, ...],
    top: int,
    kind: Literal["logits", "probabilities"] = "logits",
) -> tuple[Prediction, ...]:
    """The `top` best classes, best first; equal scores keep the order of classes.

    Args:
        values: float scores of one picture, of any shape; every element is a class.
        labels: one for each class, or none at all.
        top: how many are wanted; fewer come where the model has fewer classes.
        kind: whether the scores need a softmax, computed in float64.

    Raises:
        InternalError: the model gave a value that is not finite.
        SettingsError: there are labels, but not one for each class.
    """
    scores = np.asarray(values, np.float64).reshape(-1)
    if labels and len(labels) != scores.size:
        raise SettingsError("labels", f"needs one for each of {scores.size} classes", f"got {len(labels)}")
    if not np.isfinite(scores).all():
        raise InternalError("model output", "needs finite scores", "found NaN or infinity")
    if kind == "logits":
        scores = softmax(scores)
    best = np.argsort(-scores, kind="stable")[:top]
    return tuple(Prediction(labels[at] if labels else "", int(at), float(scores[at])) for at in best)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(x - max x) / sum of the same: shifted, so that no exponential overflows."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def parse_labels(text: str) -> tuple[str, ...]:
    """Labels of a text: one a line, in the order of classes; empty lines at the end do not count.

    Raises:
        LimitError: the text, or a line of it, is longer than any list of labels.
    """
    if len(text) > _MOST_CHARACTERS:
        raise LimitError("labels", f"may have {_MOST_CHARACTERS} characters", f"got {len(text)}")
    labels = tuple(line.strip() for line in text.rstrip().split("\n")) if text.strip() else ()
    for number, label in enumerate(labels, 1):
        if len(label) > _LONGEST_LABEL:
            found = f"line {number} has {len(label)}"
            raise LimitError("labels", f"may have {_LONGEST_LABEL} characters a line", found, "put one label a line")
    return labels
