"""Counters and histograms, shown in Prometheus' text format 0.0.4.

In: what happened, told from the event loop's thread only. Out: text for `/metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. From a tiny model's 100 us to a deadline; about three steps a decade.
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """Counts of durations in fixed buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a bucket holds durations up to and including its bound."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """The histogram's samples, its buckets cumulative as Prometheus wants them."""
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {below}'
        yield f"{name}_sum{{{labels}}} {self.total!r}"
        yield f"{name}_count{{{labels}}} {below}"


class Metrics:
    """All figures of one server. Touched from one thread only."""

    def __init__(self, info: Mapping[str, str]) -> None:
        """Keep `info`, label texts that describe the model, for `alula_model_info`."""
        self._info = ",".join(f'{name}="{_escaped(value)}"' for name, value in info.items())
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._phases: dict[str, Histogram] = {}
        self.in_flight = 0
        self.connections = 0
        self.body_bytes = 0

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request. `route` is one of ours, never a client's text."""
        self._requests[route, status] += 1
        self._seconds.setdefault(route, Histogram()).observe(seconds)

    def phases(self, seconds: Mapping[str, float]) -> None:
        """Count how long each phase of a prediction took."""
        for phase, duration in seconds.items():
            self._phases.setdefault(phase, Histogram()).observe(duration)

    def text(self) -> str:
        """All figures, in the order of names."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _head("alula_body_bytes", "gauge", "Bytes of bodies being received or answered.")
        yield f"alula_body_bytes {self.body_bytes}"
        yield from _head("alula_connections", "gauge", "Open connections.")
        yield f"alula_connections {self.connections}"
        yield from _head("alula_model_info", "gauge", "The model that is served.")
        yield f"alula_model_info{{{self._info}}} 1"
        yield from _head("alula_phase_seconds", "histogram", "Time of each phase of a prediction.")
        for phase, histogram in sorted(self._phases.items()):
            yield from histogram.lines("alula_phase_seconds", f'phase="{phase}"')
        yield from _head("alula_request_seconds", "histogram", "Time from a request's first byte to its answer.")
        for route, histogram in sorted(self._seconds.items()):
            yield from histogram.lines("alula_request_seconds", f'route="{route}"')
        yield from _head("alula_requests_in_flight", "gauge", "Requests being answered.")
        yield f"alula_requests_in_flight {self.in_flight}"
        yield from _head("alula_requests_total", "counter", "Answered requests.")
        for (route, status), number in sorted(self._requests.items()):
            yield f'alula_requests_total{{route="{route}",status="{status}"}} {number}'


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
