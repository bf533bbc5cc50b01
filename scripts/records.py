"""The table of benchmark records in the README, written from benchmarks/records.

    scripts/records.py            rewrite the table
    scripts/records.py --check    exit code 1 if the README does not say what the records say

In: records as `alula bench --record` writes them, named MODEL-1t.json or MODEL-2t.json. Out: a Markdown table.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_PLACE = re.compile(r"(<!-- records -->\n).*?(<!-- end of records -->\n)", re.DOTALL)
_OTHERS = ("onnxruntime", "openvino")


def table() -> str:
    """One row for each record: milliseconds of every engine, and how much slower the better of the others is."""
    records = sorted(map(_read, (ROOT / "benchmarks" / "records").glob("*-[12]t.json")), key=_order)
    head = ("model", "threads", "alula ms", "ONNX Runtime ms", "OpenVINO ms", "better of both / alula")
    lines = [f"| {' | '.join((*head, 'peak MB, in that order'))} |", "|---" * (len(head) + 1) + "|"]
    for record in records:
        engines = {engine["engine"]: engine for engine in record["engines"]}
        times = {name: engine["median"] * 1e3 for name, engine in engines.items()}
        ratio = min(times[name] for name in _OTHERS) / times["alula"]
        peaks = " / ".join(f"{engines[name]['peak_bytes'] / 1e6:.0f}" for name in ("alula", *_OTHERS))
        shown = " | ".join(f"{times[name]:.2f}" for name in ("alula", *_OTHERS))
        lines.append(f"| {record['name']} | {record['threads']} | {shown} | {ratio:.2f} | {peaks} |")
    versions = records[0]["versions"]
    lines.append("")
    lines.append(f"ONNX Runtime {versions['onnxruntime']}, OpenVINO {versions['openvino']}, their best settings.")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**record, "name": path.stem.rsplit("-", 1)[0]}


def _order(record: dict[str, Any]) -> tuple[int, str]:
    return record["threads"], record["name"]


def main() -> int:
    """Write or check the table."""
    text = README.read_text(encoding="utf-8")
    fresh = _PLACE.sub(lambda match: f"{match[1]}{table()}{match[2]}", text)
    if "--check" in sys.argv:
        print(f"records in the README: {'as recorded' if fresh == text else 'stale'}")
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
