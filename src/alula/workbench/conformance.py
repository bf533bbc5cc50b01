"""The official ONNX backend suite, run through alula and counted.

In: nothing, or a pattern of case names. Out: a `CaseResult` for every case, and counts of them.
"""

from __future__ import annotations

import os
import re
import tempfile
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import onnx.backend.test

from alula.workbench.known_failures import KNOWN_FAILURES
from alula.workbench.onnx_backend import AlulaBackend, PreparedModel
from alula.workbench.steps import count_steps

Watch = Callable[[str, int, int], None]

# What the goal of 99 % leaves out; the figure for everything counts these too.
_SPECIAL = re.compile(
    r"string|tfidf|label_encoder|ai_onnx_ml|image_decoder|adagrad|adam|momentum|training|"
    r"float8|FLOAT8|e4m3|e5m2|E8M0|e8m0|float4|FLOAT4|int4|INT4|int2|INT2"
)


@dataclass(frozen=True)
class CaseResult:
    """One case.

    Attributes:
        group: the suite's own: node, real, simple, pytorch-converted, pytorch-operator.
        operators: those in the model, sorted.
        status: `passed`, `failed`, or `skipped` by the suite itself.
        detail: the first line of why, unless it passed.
        native: steps in generated code that the case ran.
        host: steps through the numpy references.
    """

    name: str
    group: str
    operators: tuple[str, ...]
    status: str
    detail: str = ""
    native: int = 0
    host: int = 0

    @property
    def special(self) -> bool:
        """Whether it is about strings, ai.onnx.ml, training, types of 8 float bits or less than 8, or pictures."""
        return bool(_SPECIAL.search(self.name))

    @property
    def where(self) -> str:
        """`native`, `host`, `both`, or `folded` where everything was known before the run."""
        if self.native and self.host:
            return "both"
        return "native" if self.native else "host" if self.host else "folded"

    @property
    def known(self) -> str:
        """Why it is known to fail; empty if it is not."""
        return KNOWN_FAILURES.get(self.name, "")


@dataclass(frozen=True)
class Summary:
    """Counts over some cases; skipped ones stand in the denominator like failures."""

    total: int
    passed: int
    failed: int
    skipped: int
    native: int
    both: int
    host: int

    @property
    def rate(self) -> float:
        """Passed of all, 0 to 1; 1 for no case."""
        return self.passed / self.total if self.total else 1.0


def summarise(results: Iterable[CaseResult]) -> Summary:
    """Count cases; `native`, `both` and `host` count passed ones by where they ran."""
    rows = list(results)
    passed = [row for row in rows if row.status == "passed"]
    where = [row.where for row in passed]
    return Summary(
        total=len(rows),
        passed=len(passed),
        failed=sum(row.status == "failed" for row in rows),
        skipped=sum(row.status == "skipped" for row in rows),
        native=where.count("native") + where.count("folded"),
        both=where.count("both"),
        host=where.count("host"),
    )


class _Recorder(AlulaBackend):
    """The backend, remembering what it was asked last; owned by one run of the suite."""

    prepared: PreparedModel | None = None
    operators: tuple[str, ...] = ()

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> PreparedModel:
        """Open a model and remember it."""
        cls.operators = tuple(sorted({node.op_type for node in model.graph.node}))
        options = {key: value for key, value in options.items() if key == "provider"}
        cls.prepared = super().prepare(model, device, **options)
        return cls.prepared


class OnnxSuite:
    """The official cases, loaded once; owned by one thread."""

    def __init__(self) -> None:
        """Load all cases; the suite computes the expected answers of its node cases here, some seconds."""
        self._cases = {_name(case): (group, case) for group, case in _cases()}

    def names(self, pattern: str = "") -> list[str]:
        """The cases whose name matches a regular expression, in the suite's order."""
        wanted = re.compile(pattern)
        return [name for name in self._cases if wanted.search(name)]

    def run(self, name: str) -> CaseResult:
        """Run one case, with the suite's own judgement."""
        group, case = self._cases[name]
        _Recorder.prepared, _Recorder.operators = None, ()
        outcome = unittest.TestResult()
        with tempfile.TemporaryDirectory(prefix="alula-onnx-home-") as home, _onnx_home(home), _no_warnings():
            case.run(outcome)
        native = host = 0
        if _Recorder.prepared is not None:
            native, host = count_steps(_Recorder.prepared.session)
            _Recorder.prepared.close()
        status, detail = "passed", ""
        if outcome.skipped:
            status, detail = "skipped", outcome.skipped[0][1]
        elif outcome.failures or outcome.errors:
            status, detail = "failed", _reason((outcome.failures or outcome.errors)[0][1])
        return CaseResult(name, group, _Recorder.operators, status, detail, native, host)


def run_suite(pattern: str = "", watch: Watch | None = None) -> Iterator[CaseResult]:
    """Run the official cases whose name matches, in one process.

    Args:
        pattern: a regular expression; empty runs all of them.
        watch: called with (case, done, total) before each case.

    Yields:
        Each case's result, as it ends.
    """
    suite = OnnxSuite()
    names = suite.names(pattern)
    for done, name in enumerate(names):
        if watch is not None:
            watch(name, done, len(names))
        yield suite.run(name)


def _cases() -> Iterator[tuple[str, unittest.TestCase]]:
    with _no_warnings():
        suite = onnx.backend.test.BackendTest(_Recorder, __name__)
        for name, kind in suite.test_cases.items():
            group = re.sub(r"(?<!^)(?=[A-Z])", "-", name.removeprefix("OnnxBackend").removesuffix("Test")).lower()
            for case in unittest.defaultTestLoader.loadTestsFromTestCase(kind):
                if isinstance(case, unittest.TestCase) and case.id().endswith("_cpu"):
                    yield group.removesuffix("-model").replace("py-torch", "pytorch"), case


def _name(case: unittest.TestCase) -> str:
    return case.id().rpartition(".")[2].removesuffix("_cpu")


@contextmanager
def _no_warnings() -> Iterator[None]:
    """The suite computes its own answers, overflows included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(trace: str) -> str:
    """The error's own lines at the end of a traceback, in one."""
    lines = [line.strip() for line in trace.strip().splitlines() if line and not line.startswith(" ")]
    found = [line for line in lines if re.match(r"[\w.]+(Error|Exception|UnknownShape)\b", line)]
    tail = trace.strip().splitlines()
    text = found[-1] if found else tail[-1]
    more = [line.strip() for line in tail[tail.index(text) + 1 :]] if text in tail else []
    return " ".join([text, *more])[:300]


@contextmanager
def _onnx_home(folder: str) -> Iterator[None]:
    """The suite unpacks its light models below ONNX_HOME, which must not be the user's own folder."""
    before = os.environ.get("ONNX_HOME")
    os.environ["ONNX_HOME"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["ONNX_HOME"]
        else:
            os.environ["ONNX_HOME"] = before
