from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.classifier import Classifier, classifier_model, write_classifier
from support.commands import Command, Outcome, command
from support.models import external_model
from support.pictures import jpeg, noise, plain, png, png_of

from alula.base.plan_format import MAGIC, PRELUDE, VERSION

# The class, where: needed, found; further lines are indented.
FOUR_PARTS = re.compile(r"[A-Z]\w*Error: [^\n]+?: [^\n]+, [^\n]+\n(  [^\n]*\n)*")
# Each command as words, MODEL for the model's path.
COMMANDS = {
    "run": ("run", "MODEL", "x=ARRAY"),
    "compile": ("compile", "MODEL", "-o", "PLAN"),
    "show": ("show", "plan", "MODEL"),
    "check": ("check", "MODEL"),
}
TRUNCATED_JPEG = jpeg(noise(64, 64))[:500]


@pytest.fixture
def alula(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`alula WORD...` as a function, over a cache of its own."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ALULA_JOBS", "1")
    return command(capsys)


@pytest.fixture
def files(tmp_path: Path) -> Classifier:
    """A sound classifier, to which one thing is done at a time."""
    return write_classifier(tmp_path)


@pytest.fixture(params=COMMANDS)
def with_model(request: pytest.FixtureRequest, alula: Command, files: Classifier) -> Callable[[Path], Outcome]:
    """Each command that reads a model, as a function of the model's path."""

    def call(model: Path) -> Outcome:
        words = {"MODEL": model, "x=ARRAY": f"x={files.array}", "PLAN": files.model.with_name("out.alula")}
        return alula(*(words.get(word, word) for word in COMMANDS[request.param]))

    return call


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Exit code 2, nothing on stdout, four parts on stderr that hold these words."""
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err
    assert FOUR_PARTS.fullmatch(outcome.err), outcome.err
    for word in words:
        assert word in outcome.err


def write(path: Path, data: bytes) -> Path:
    """The path, holding these bytes."""
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (png(plain(9, 9, 9)), "found a PNG picture"),
        (b'{"model": 1}', "found JSON text"),
        (b"", "the file is empty"),
        (hashlib.sha512(b"").digest() * 64, "bytes that begin with "),
        (MAGIC + bytes(100), "found "),
    ],
    ids=["PNG", "JSON", "empty", "random", "half a plan"],
)
def test_file_that_is_no_model_is_called_what_it_is(
    data: bytes, found: str, with_model: Callable[[Path], Outcome], files: Classifier
) -> None:
    """Attack: anything under a model's name."""
    outcome = with_model(write(files.model, data))

    if data.startswith(MAGIC):
        assert_refused(outcome)
    else:
        assert_refused(outcome, "ModelFileError: ", "colours.onnx", found)


def test_directory_and_nothing_are_no_models(with_model: Callable[[Path], Outcome], tmp_path: Path) -> None:
    """A path that leads to no file."""
    assert_refused(with_model(tmp_path), str(tmp_path))
    assert_refused(with_model(tmp_path / "gone.onnx"), "MissingError: ", "gone.onnx", "try: check the path")


def test_truncated_model_is_refused(with_model: Callable[[Path], Outcome], files: Classifier) -> None:
    """Attack: a download that stopped, at every ninth byte."""
    data = files.model.read_bytes()

    for size in range(9, len(data), 9):
        assert_refused(with_model(write(files.model, data[:size])))


def test_cyclic_graph_is_refused(with_model: Callable[[Path], Outcome], files: Classifier) -> None:
    """Attack: two nodes that wait for each other."""
    model = classifier_model()
    model.graph.node[0].input[0] = "r"

    assert_refused(with_model(write(files.model, model.SerializeToString())), "GraphError: ")


def test_all_that_cannot_run_is_told_at_once(with_model: Callable[[Path], Outcome], files: Classifier) -> None:
    """Two unknown operators and an operator set from the future: one message, a line for each with its node."""
    model = classifier_model()
    model.opset_import[0].version = 99
    model.opset_import.append(helper.make_opsetid("com.example", 3))
    model.graph.node[1].op_type = "Frobnicate"
    model.graph.node[3].op_type, model.graph.node[3].domain = "Twirl", "com.example"

    outcome = with_model(write(files.model, model.SerializeToString()))

    assert_refused(outcome, "UnsupportedError: model colours.onnx: ", "4 of 4 nodes cannot be run", "  try: ")
    assert "  ai.onnx.Conv version 99, node conv: " in outcome.err
    assert "  ai.onnx.Frobnicate version 99, node relu: " in outcome.err
    assert "  ai.onnx.GlobalAveragePool version 99, node pool: " in outcome.err
    assert "  com.example.Twirl version 3, node flat: " in outcome.err


@pytest.mark.parametrize("kind", ["COMPLEX64", "COMPLEX128"])
def test_unknown_dtype_is_refused_by_name(kind: str, with_model: Callable[[Path], Outcome], files: Classifier) -> None:
    """A dtype that no kernel and no reference has."""
    model = classifier_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DataType.Value(kind)

    assert_refused(with_model(write(files.model, model.SerializeToString())), "UnsupportedError: ", kind.lower())


def test_missing_external_data_is_named(with_model: Callable[[Path], Outcome], tmp_path: Path) -> None:
    """A model copied without its weights."""
    assert_refused(with_model(external_model(tmp_path, {"location": "weights.bin"})), "MissingError: ", "weights.bin")


def test_tensor_that_claims_more_than_the_file_holds_is_refused(
    with_model: Callable[[Path], Outcome], files: Classifier
) -> None:
    """Attack: a weight of 4 TB in a file of 300 bytes."""
    model = classifier_model()
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]

    assert_refused(with_model(write(files.model, model.SerializeToString())), "Error: ")


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("y", np.zeros((1, 3, 8, 8), np.float32), ("y",)),
        ("x", np.zeros((3, 8, 8), np.float32), ("input x", "[3, 8, 8]")),
        ("x", np.zeros((1, 3, 8, 9), np.float32), ("input x", "[1, 3, 8, 9]")),
        ("x", np.zeros((1, 3, 8, 8), np.float64), ("input x", "float64")),
        ("x", np.zeros((1, 3, 8, 8), np.complex64), ("input x",)),
        ("x", np.zeros((1, 3, 8, 8), "U4"), ("input x",)),
    ],
    ids=["name", "rank", "shape", "float64", "complex64", "text"],
)
@pytest.mark.parametrize("provider", ["native", "reference", "onnxruntime"])
def test_input_that_does_not_fit_is_refused(
    provider: str, name: str, array: np.ndarray, words: tuple[str, ...], alula: Command, files: Classifier
) -> None:
    """Each provider holds callers to the model's own ends."""
    np.save(files.array, array)

    outcome = alula("run", files.model, f"{name}={files.array}", "--provider", provider)

    assert_refused(outcome, "InputError: ", *words)


@pytest.mark.parametrize("batch", [1, "N"])
def test_file_that_is_no_array_is_refused(batch: int | str, alula: Command, files: Classifier) -> None:
    """Attack: bytes, a pickle and an array of objects under the name of an array."""
    model = write_classifier(files.model.parent, batch).model
    objects, archive = files.array.with_name("objects.npy"), files.array.with_name("archive.npy")
    np.save(objects, np.array([{"a": 1}], object), allow_pickle=True)
    with archive.open("wb") as file:
        np.savez(file, x=np.load(files.array))

    assert_refused(alula("run", model, f"x={objects}"), "RequestError: input x: ")
    assert_refused(alula("run", model, f"x={archive}"), "RequestError: input x: ")
    assert_refused(alula("run", model, f"x={write(files.array, b'')}"), "RequestError: input x: ")
    assert_refused(alula("run", model, f"x={write(files.array, b'x' * 99)}"), "RequestError: input x: ")
    assert_refused(alula("run", model, "x=gone.npy"), "MissingError: input x: ")


def test_array_that_claims_more_than_its_file_holds_is_refused(alula: Command, files: Classifier) -> None:
    """Attack: a .npy of 200 bytes whose header announces 4 TB."""
    header = files.array.read_bytes()[:128].replace(b"(1, 3, 8, 8)", b"(1, 3, 8, 99999999999)")
    write(files.array, header[:128] + bytes(72))

    assert_refused(alula("run", files.model, files.array), "RequestError: input x: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a picture at all", ()),
        (b"", ()),
        (TRUNCATED_JPEG, ()),
        (png(plain(9, 9, 9))[:60], ()),
        (png_of(width=60000, height=60000), ("60000",)),
        (jpeg(noise(16, 16)).replace(b"\x00\x10\x00\x10\x03", b"\xff\xff\xff\xff\x03"), ("65535",)),
    ],
    ids=["text", "empty", "half a JPEG", "half a PNG", "PNG bomb", "JPEG bomb"],
)
def test_picture_that_cannot_be_read_is_refused(
    data: bytes, words: tuple[str, ...], alula: Command, files: Classifier
) -> None:
    """Attack: broken pictures, and small files that announce thousands of millions of pixels."""
    write(files.picture, data)

    assert_refused(alula("run", files.model, files.picture, "--preprocess", files.preprocess), *words)


def test_picture_that_is_not_there_is_refused(alula: Command, files: Classifier) -> None:
    """A missing file, a directory, and a model that takes no pictures."""
    how = ("--preprocess", files.preprocess)

    assert_refused(alula("run", files.model, "gone.png", *how), "MissingError: gone.png: ")
    assert_refused(alula("run", files.model, files.model.parent, *how), "MissingError: ")
    assert_refused(alula("run", files.model, files.picture), "MissingError: ", "say --preprocess FILE")
    assert_refused(alula("run", files.model), "RequestError: inputs: ")
    assert_refused(alula("run", files.model, files.picture, files.array, *how), "RequestError: inputs: ")


@pytest.mark.parametrize("name", ["run", "compile"])
def test_bad_companion_files_are_refused(name: str, alula: Command, files: Classifier) -> None:
    """Labels and preprocessing that are missing, damaged or too long."""
    start = (name, files.model, *([files.picture] if name == "run" else []))
    toml = files.model.with_name("bad.toml")

    assert_refused(alula(*start, "--labels", "gone.txt"), "MissingError: gone.txt: ")
    assert_refused(alula(*start, "--preprocess", "gone.toml"), "MissingError: gone.toml: ")
    assert_refused(alula(*start, "--preprocess", write(toml, b"[resize")), "SettingsError: ", "TOML")
    assert_refused(alula(*start, "--preprocess", write(toml, b"[resize]\nsize = [-1, 8]")), "SettingsError: ")
    assert_refused(alula(*start, "--preprocess", write(toml, b"[paint]")), "SettingsError: ", "paint")
    assert_refused(alula(*start, "--labels", write(toml, b"x" * (5 << 20))), "LimitError: ")


def test_labels_that_are_not_one_a_class_are_refused(alula: Command, files: Classifier) -> None:
    """Labels of another model would name every picture wrong."""
    write(files.labels, b"cat\ndog\n")
    extras = ("--preprocess", files.preprocess, "--labels", files.labels)

    assert_refused(alula("run", files.model, files.picture, *extras), "labels: needs one for each of 3 classes, got 2")


def test_output_that_cannot_be_written_is_refused(alula: Command, files: Classifier) -> None:
    """A file in the way of a folder, and a folder in the way of a file."""
    below = files.model / "out"

    assert_refused(alula("compile", files.model, "-o", below), f"{below}: ")
    assert_refused(alula("compile", files.model, "-o", files.model.parent), f"{files.model.parent}: ")
    assert_refused(alula("run", files.model, files.array, "--output", below), f"{below}: ")
    assert_refused(alula("bench", files.model, "--seconds", "0.05", "--record", below), f"{files.model}: ")


@pytest.mark.parametrize(
    "text", ["x", "x=", "=1x3x8x8", "x=1,3,8,8", "x=1x-3x8x8", "x=0x3x8x8", "x=1x3x8x٣", "x=1x3x8x8" + "9" * 5000]
)
def test_shape_in_another_form_is_refused(text: str, with_model: Callable[[Path], Outcome], alula: Command) -> None:
    """Only positive whole numbers in ASCII, joined by x."""
    del with_model

    assert_refused(alula("compile", "any.onnx", "--shape", text), "RequestError: --shape: needs the form NAME=")


@pytest.mark.parametrize("text", ["y=1x3x8x8", "x=1x3x8", "x=2x3x8x8", "x=1x3x8x9"])
def test_shape_that_does_not_fit_the_model_is_refused(text: str, alula: Command, files: Classifier) -> None:
    """A name that is no input, another rank, another number where the model fixes one."""
    for words in (("compile", files.model), ("show", "plan", files.model), ("check", files.model)):
        assert_refused(alula(*words, "--shape", text))


def test_shape_beyond_all_memory_is_refused(alula: Command, files: Classifier) -> None:
    """Attack: a batch of a million million."""
    model = write_classifier(files.model.parent, "N").model

    assert_refused(alula("compile", model, "--shape", "x=1000000000000x3x8x8"))


@pytest.mark.parametrize(
    "words",
    [
        ("--threads", "-1"),
        ("--threads", "abc"),
        ("--threads", "1.5"),
        ("--threads", "9" * 30),
        ("--threads", "100000"),
        ("--top", "0"),
        ("--top", "x"),
        ("--provider", "nobody"),
        ("--target", "pentium"),
        ("--colour", "red"),
        ("--threads",),
    ],
    ids=" ".join,
)
def test_option_with_a_bad_value_is_refused(words: tuple[str, ...], alula: Command, files: Classifier) -> None:
    """Numbers that are none or out of range, unknown names."""
    assert_refused(alula("run", files.model, files.array, *words))


def test_command_line_without_sense_is_refused(alula: Command, files: Classifier) -> None:
    """Unknown commands, stages, passes, and words that are missing."""
    assert_refused(alula("fly"), "RequestError: alula: ", "run, compile")
    assert_refused(alula("--fly"))
    assert_refused(alula("compile"), "MODEL")
    assert_refused(alula("show", "everything", files.model), "'everything'")
    assert_refused(alula("compile", files.model, "--disable", "fuse_all"), "fuse_all")
    assert_refused(alula("bench", files.model, "--seconds", "nan"), "--seconds")
    assert_refused(alula("bench", files.model, "--seconds", "-1"), "--seconds")


def test_environment_with_a_bad_value_is_refused(
    alula: Command, files: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are named by their variable."""
    monkeypatch.setenv("ALULA_THREADS", "many")

    assert_refused(alula("run", files.model, files.array), "SettingsError: ALULA_THREADS: ", "try: unset ALULA_THREADS")


def test_plan_for_another_processor_is_refused(alula: Command, files: Classifier) -> None:
    """Its instructions would end the process."""
    plan = files.model.with_suffix(".alula")
    alula("compile", files.model)
    whole = plan.read_bytes()
    size = PRELUDE.unpack_from(whole)[3]
    header = json.loads(whole[PRELUDE.size : PRELUDE.size + size])
    header["target"]["needs"].append("avx9000")
    text = json.dumps(header).encode().ljust(size)
    assert len(text) == size
    front = PRELUDE.pack(MAGIC, VERSION, 0, size, len(whole), hashlib.sha256(text).digest())
    write(plan, front + text + whole[PRELUDE.size + size :])

    assert_refused(alula("run", plan, files.array), "PlanFileError: ", "lacks avx9000", "try: alula compile")


def test_damaged_plan_is_refused(alula: Command, files: Classifier) -> None:
    """Attack: cut short, or one bit turned, anywhere: nothing is mapped that was not verified."""
    plan = files.model.with_suffix(".alula")
    alula("compile", files.model)
    whole = plan.read_bytes()

    for size in (20, 100, len(whole) // 2, len(whole) - 1):
        assert_refused(alula("run", write(plan, whole[:size]), files.array), "PlanFileError: ")
    for place in range(16, len(whole), len(whole) // 16):
        bad = bytearray(whole)
        bad[place] ^= 1
        assert_refused(alula("run", write(plan, bytes(bad)), files.array), "PlanFileError: ")


def test_what_only_a_model_can_do_is_not_asked_of_a_plan(alula: Command, files: Classifier) -> None:
    """An option that would have no effect is refused, not ignored."""
    plan = files.model.with_suffix(".alula")
    alula("compile", files.model)

    for words in (("--shape", "x=1x3x8x8"), ("--target", "x86-64-v2"), ("--provider", "reference")):
        assert_refused(alula("run", plan, files.array, *words), "is a compiled plan")
    for command_words in (["compile"], ["check"], ["show", "graph"]):
        assert_refused(alula(*command_words, plan), "found a compiled plan")


def test_model_written_by_the_test_is_sound(alula: Command, files: Classifier) -> None:
    """The attacks above change one thing each; unchanged, every command takes these files."""
    onnx.checker.check_model(onnx.load(files.model))

    for words in COMMANDS.values():
        table = {"MODEL": files.model, "x=ARRAY": f"x={files.array}", "PLAN": files.model.with_name("out.alula")}
        assert alula(*(table.get(word, word) for word in words)).code == 0
