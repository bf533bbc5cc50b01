from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.models import LIGHT_MODELS, light_input, light_outputs
from support.plans import RUNNABLE

from alula.engine.graph.nodes import Array
from alula.engine.importers.onnx import load_onnx
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model
from alula.engine.sessions.host import run_host_step
from alula.workbench.check import check_model
from alula.workbench.zoo_models import light_model, random_weights

SMALL = [path for path in LIGHT_MODELS if path.stem in {"light_shufflenet", "light_squeezenet"}]
# These two have nothing but convolutions and matrix products of 200 and 575 MB.
LIGHTER = [path for path in LIGHT_MODELS if path.stem not in {"light_zfnet512", "light_vgg19"}]
SHAPE = (1, 3, 224, 224)
OPSET = 9  # of the light models' files


def answer(model: Path, folder: Path, target: str = "") -> tuple[Array, ...]:
    """What a model's plan gives for `light_input`; the plan, up to 575 MB, is deleted at once."""
    plan = folder / "model.alula"
    compile_graph(import_model(model), plan, CompileOptions(target=target, jobs=1))
    try:
        with open_plan(plan, threads=1, host=run_host_step) as session:
            (spec,) = session.inputs
            return tuple(
                np.array(np.asarray(tensor)) for tensor in session.run({spec.name: light_input(SHAPE)}).values()
            )
    finally:
        plan.unlink()


@pytest.mark.parametrize("model", LIGHT_MODELS, ids=lambda path: path.stem.removeprefix("light_"))
def test_light_model_gives_the_outputs_that_onnx_publishes(model: Path, tmp_path: Path) -> None:
    """Nine networks of the onnx library answer within the tolerance of its own backend tests."""
    expected = light_outputs(model)

    found = answer(model, tmp_path)

    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("target", [target.name for target in RUNNABLE[1:]])
@pytest.mark.parametrize("model", SMALL, ids=lambda path: path.stem.removeprefix("light_"))
def test_light_model_gives_the_same_on_older_instruction_sets(model: Path, target: str, tmp_path: Path) -> None:
    """Narrow vectors take other tiles and other blocks of channels, not other results."""
    (found,) = answer(model, tmp_path, target)

    np.testing.assert_allclose(found, light_outputs(model)[0], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("model", LIGHTER, ids=lambda path: path.stem.removeprefix("light_"))
def test_light_model_with_random_weights_agrees_with_onnxruntime(model: Path, tmp_path: Path) -> None:
    """The published weights are constants, under which a swapped channel would not be seen; random ones show it."""
    file = tmp_path / "random.onnx"
    write_onnx(random_weights(load_onnx(model)), file, OPSET)
    theirs = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (expected,) = theirs.run(None, {theirs.get_inputs()[0].name: light_input(SHAPE)})

    (found,) = answer(file, tmp_path)

    assert float(np.ptp(expected)) > 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 + 1e-4 * float(np.abs(expected).max()))


def test_every_step_of_squeezenet_agrees_with_its_reference(tmp_path: Path) -> None:
    """The same bar as `alula check`: each step on its own inputs, and the whole."""
    file = tmp_path / "random.onnx"
    write_onnx(random_weights(load_onnx(light_model("squeezenet"))), file, OPSET)

    report = check_model(file, CompileOptions(jobs=1))

    assert report.first_wrong is None
    assert len(report.steps) > 20
