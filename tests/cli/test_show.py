from __future__ import annotations

import pytest
from support.classifier import Classifier
from support.commands import Command

GRAPH = """\
graph colours.onnx {
  input %x float32 [1, 3, 8, 8]
  %c = Conv(%x, #w[3x3x1x1]) : float32 ?
  %r = Relu(%c) : float32 ?
  %p = GlobalAveragePool(%r) : float32 ?
  %logits = Flatten(%p) : float32 [1, 3]
  output %logits
}
"""


def test_graph_is_shown_as_the_file_has_it(alula: Command, files: Classifier) -> None:
    """One line a node, names kept."""
    assert alula("show", "graph", files.model).out == GRAPH


def test_graph_around_a_node_is_the_node_and_its_neighbours(alula: Command, files: Classifier) -> None:
    """What an error's hint asks for."""
    shown = alula("show", "graph", files.model, "--around", "relu")

    assert shown.out == "".join(f"{line.strip()}\n" for line in GRAPH.splitlines()[2:5])


def test_optimised_graph_has_the_fused_convolution(alula: Command, files: Classifier) -> None:
    """After all passes: ReLU rides on the convolution."""
    shown = alula("show", "graph", files.model, "--optimised")

    assert "epilogue=<r1 = max(r0, 0.0)>" in shown.out
    assert "Relu(" not in shown.out


def test_passes_are_listed_in_their_order(alula: Command, files: Classifier) -> None:
    """Each pass with what it changed and how long it took."""
    shown = alula("show", "passes", files.model)

    head, *rows = shown.out.splitlines()
    assert head.split() == ["pass", "changes", "ms"]
    assert len(rows) > 10
    assert rows[0].startswith("upgrade_operators")
    assert rows[-1].startswith("choose_layout")


@pytest.mark.parametrize("compiled", [False, True])
def test_plan_lists_its_steps_whether_it_is_compiled_or_not(compiled: bool, alula: Command, files: Classifier) -> None:  # noqa: FBT001  a parameter
    """The same steps from a model and from its plan file."""
    if compiled:
        alula("compile", files.model, "--labels", files.labels, "--target", "x86-64-v3")
    shown = alula("show", "plan", files.model.with_suffix(".alula") if compiled else files.model)

    steps = [line for line in shown.out.splitlines() if line.strip()[:1].isdigit()]
    assert [line.split()[-1] for line in steps] == ["conv", "pool", "(output)"]
    assert "convolution" in steps[0]
    assert "input x float32 [1, 3, 8, 8]" in shown.out
    assert ("carries labels.txt (15 bytes)" in shown.out) is compiled


@pytest.mark.parametrize(
    ("stage", "word"), [("llvm", "define void @convolution_"), ("asm", ".globl\tconvolution_")], ids=["llvm", "asm"]
)
def test_code_of_one_kernel_is_shown(stage: str, word: str, alula: Command, files: Classifier) -> None:
    """What LLVM gets, and what it makes of it, for another machine too."""
    shown = alula("show", stage, files.model, "--kernel", "convolution", "--target", "x86-64-v3")

    assert word in shown.out
    assert "pool_" not in shown.out
    assert "%zmm" not in shown.out


def test_kernel_and_node_that_are_not_there_are_answered_with_what_is(alula: Command, files: Classifier) -> None:
    """A mistyped name gets a list, or the command that prints one."""
    kernel = alula("show", "asm", files.model, "--kernel", "winograd")
    node = alula("show", "graph", files.model, "--around", "relu7")

    assert (kernel.code, node.code) == (2, 2)
    assert "MissingError: kernel winograd: " in kernel.err
    assert "convolution_" in kernel.err
    assert "try: alula show graph MODEL" in node.err
