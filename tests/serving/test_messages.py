from __future__ import annotations

import json

import pytest

from alula.imaging.classify import Prediction
from alula.serving.messages import json_response


def test_predictions_become_objects() -> None:
    """The records of the core need no dictionaries in between."""
    response = json_response(200, {"predictions": (Prediction("Größe", 3, 0.5),)}, (("x-a", "b"),))

    assert (response.status, response.content_type, response.headers) == (200, "application/json", (("x-a", "b"),))
    assert json.loads(response.body) == {"predictions": [{"label": "Größe", "index": 3, "score": 0.5}]}


def test_what_json_does_not_know_is_not_sent() -> None:
    """A mistake in an answer is an error here, no strange text at the client."""
    with pytest.raises(TypeError):
        json_response(200, {"x": object()})
