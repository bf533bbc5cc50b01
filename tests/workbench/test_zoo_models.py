from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alula.base.errors import MissingError
from alula.engine.graph.check import check_graph
from alula.engine.importers.onnx import load_onnx
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.sessions.compiler import no_progress
from alula.workbench.zoo_models import LIGHT_MODELS, find_model, light_model, random_weights


def test_a_path_means_itself(tmp_path: Path) -> None:
    """A file wins over a short name."""
    file = tmp_path / "lite0"
    file.write_bytes(b"x")

    assert find_model(str(file), no_progress) == file


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    """Whoever mistypes a name sees all of them."""
    with pytest.raises(MissingError, match="needs a file or a known name") as error:
        find_model("resnet5000", no_progress)

    assert all(name in error.value.hint for name in ("lite0", *LIGHT_MODELS))


def test_short_name_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the file comes from the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = find_model("squeezenet", no_progress)
    before = first.stat()

    second = find_model("squeezenet", no_progress)

    assert first == second
    assert before == second.stat()
    assert first.is_relative_to(tmp_path)
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_random_weights_are_the_same_each_time(tmp_path: Path) -> None:
    """Two machines that build a model measure the same one."""
    for name in ("one.onnx", "two.onnx"):
        write_onnx(random_weights(load_onnx(light_model("shufflenet"))), tmp_path / name, 9)

    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.parametrize("name", ["densenet121", "inception1", "resnet50", "shufflenet", "squeezenet"])
def test_every_weight_becomes_random(name: str) -> None:
    """A constant weight that is left makes outputs constant; numbers follow He's variance of 2 / fan-in."""
    graph = random_weights(load_onnx(light_model(name)))

    check_graph(graph)
    weights = [graph.constants[n.inputs[1]] for n in graph.nodes if n.op == "Conv"]
    assert weights
    for weight in weights:
        wanted = np.sqrt(2 / np.prod(weight.shape[1:]))
        assert weight.std() == pytest.approx(wanted, rel=0.2)
    assert all(array.std() > 0 for array in graph.constants.values() if array.ndim > 3 and array.size > 1)
