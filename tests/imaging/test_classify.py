from __future__ import annotations

import math

import numpy as np
import pytest

from alula.base.errors import InternalError, LimitError, SettingsError
from alula.base.tensors import DType, Tensor
from alula.imaging.classify import Prediction, classify, parse_labels


def test_logits_become_softmax_scores_best_first() -> None:
    """Scores are exp(x) over the sum of all, not of the few that are shown."""
    total = math.e + 1 + math.exp(3)

    best = classify(np.array([[1.0, 0.0, 3.0]], np.float32), ("a", "b", "c"), 2)

    assert [(one.label, one.index) for one in best] == [("c", 2), ("a", 0)]
    assert [one.score for one in best] == pytest.approx([math.exp(3) / total, math.e / total], rel=1e-12)


def test_huge_logits_do_not_overflow() -> None:
    """The softmax is shifted by the largest logit."""
    assert classify([1000.0, 1000.0], (), 1)[0].score == pytest.approx(0.5)


def test_probabilities_stay_as_they_are() -> None:
    """A model that ends in a softmax is not softened twice."""
    assert classify([0.25, 0.75], (), 1, "probabilities") == (Prediction("", 1, 0.75),)


def test_a_session_tensor_is_read_in_place() -> None:
    """What a Session returns needs no conversion."""
    tensor = Tensor(np.array([[0, 9]], np.float32), DType.FLOAT32, (1, 2))

    assert classify(tensor, ("cat", "dog"), 5)[0].label == "dog"


def test_equal_scores_keep_the_order_of_classes() -> None:
    """The same request gives the same answer, ties too."""
    assert [one.index for one in classify([1.0] * 20, (), 5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_our_fault(bad: float) -> None:
    """NaN has no place in JSON, nor in an answer."""
    with pytest.raises(InternalError, match="finite"):
        classify([0.0, bad], (), 1)


def test_labels_must_fit_the_classes() -> None:
    """Labels of another model name the wrong things."""
    with pytest.raises(SettingsError, match="one for each of 3 classes, got 2"):
        classify([0.0, 1.0, 2.0], ("a", "b"), 1)


def test_labels_are_lines() -> None:
    """One label a line; line ends of either kind; empty lines at the end do not count."""
    assert parse_labels("tench, Tinca tinca\r\ngoldfish\n\n") == ("tench, Tinca tinca", "goldfish")
    assert parse_labels("\n") == ()


def test_a_file_without_line_ends_is_no_list_of_labels() -> None:
    """A wrong file is refused, not shown as one label of a megabyte."""
    with pytest.raises(LimitError, match="line 1"):
        parse_labels("x" * 1000)
