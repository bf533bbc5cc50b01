"""Writes the reference pages from the tables in the code: settings, operators, passes.

    scripts/reference.py            rewrite docs/reference
    scripts/reference.py --check    exit code 1 if a page is not as the code says

In: the tables. Out: Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alula.base.settings import TABLE
from alula.engine.graph.nodes import INTERNAL
from alula.engine.operators.record import Operator
from alula.engine.operators.table import NEWEST_OPSET, OPERATORS
from alula.engine.passes.order import PASSES

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_NOTE = "Written by `scripts/reference.py` from the code; change it there."


def settings_page() -> str:
    """One row for each setting."""
    rows = [f"| `{row.variable}` | {f'`{row.default}`' if row.default else ''} | {row.text} |" for row in TABLE]
    head = ["# Settings", "", _NOTE, "", "Read from the environment at the door, once.", ""]
    return "\n".join([*head, "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def operators_page() -> str:
    """One row for each ONNX operator, and one for each of our own."""
    onnx = sorted(
        (op for (domain, _), op in OPERATORS.items() if domain != INTERNAL), key=lambda op: (op.domain, op.name)
    )
    own = sorted((op for (domain, _), op in OPERATORS.items() if domain == INTERNAL), key=lambda op: op.name)
    lines = [
        "# Operators",
        "",
        _NOTE,
        "",
        f"ONNX operators up to operator set {NEWEST_OPSET}. What they run as, where dtypes and shapes allow:",
        "",
        "- *formula*: elementwise; native for all usual types (functions of float64 excepted), fused with neighbours",
        "- *kernel*: native for float32, and for other types where it only moves or compares",
        "- *lowered*: written as other operators by a pass, and native as those",
        "- *view*: no work at all",
        "- *reference*: in numpy, as a host step that `alula show plan` names",
        "",
        "| operator | runs as | versions |",
        "|---|---|---|",
        *(f"| {_shown(op)} | {_kind(op)} | {', '.join(map(str, op.since))} |" for op in onnx),
        "",
        "Operators of the domain `alula`, which only passes write:",
        "",
        "| operator | means |",
        "|---|---|",
        *(f"| {op.name} | {op.summary} |" for op in own),
        "",
    ]
    return "\n".join(lines)


def passes_page() -> str:
    """The passes in their order."""
    rows = [f"| {number} | `{step.name}` | {'' if step.required else 'yes'} |" for number, step in enumerate(PASSES, 1)]
    head = [
        "# Passes",
        "",
        _NOTE,
        "",
        "In this order, then `choose_layout`. `alula compile --disable NAME` leaves one out.",
        "",
    ]
    return "\n".join([*head, "| | pass | may be left out |", "|---|---|---|", *rows, ""])


PAGES = {"settings.md": settings_page, "operators.md": operators_page, "passes.md": passes_page}

# Operators that others stand for once passes have run.
_LOWERED = frozenset({
    "AffineGrid", "Attention", "BatchNormalization", "CausalConvWithState", "Conv", "ConvInteger", "ConvTranspose",
    "DFT", "DeformConv", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "Einsum", "FlexAttention", "GRU",
    "Gemm", "GlobalLpPool", "Hardmax", "LSTM", "LinearAttention", "LpNormalization", "LpPool", "MatMulInteger",
    "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN",
    "RotaryEmbedding", "STFT", "SoftmaxCrossEntropyLoss", "Upsample",
})  # fmt: skip
_BECOME = {
    "CastLike": "a Cast", "Constant": "folded", "ConstantOfShape": "folded where the shape is known", "Shape": "folded",
    "Size": "folded", "Range": "folded where the ends are known", "EyeLike": "folded where the shape is known",
    "Compress": "lowered where the condition is known", "If": "inlined where the condition is known",
    "Loop": "unrolled where short and of known trips", "Scan": "unrolled where short and of known trips",
    **dict.fromkeys(("SequenceAt", "ConcatFromSequence", "SplitToSequence", "SequenceConstruct"),
                    "resolved where positions are known"),
    **dict.fromkeys(_LOWERED, "lowered"),
}  # fmt: skip


def _shown(operator: Operator) -> str:
    """The name, with its domain where that is not ONNX's own."""
    return f"{operator.domain}.{operator.name}" if operator.domain else operator.name


def _kind(operator: Operator) -> str:
    if operator.domain == "com.microsoft":
        return "standard operators, rewritten when the model is read"
    if operator.name in _BECOME:
        return _BECOME[operator.name]
    if operator.view:
        return "view"
    if operator.select is not None:
        return "kernel"
    return "formula" if operator.lower is not None else "reference"


def main() -> int:
    """Write or check all pages."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print(f"reference pages: {', '.join(stale) or 'none'} {'stale' if '--check' in sys.argv else 'written'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
