from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from alula.serving.metrics import BOUNDS, Metrics


def _families(metrics: Metrics) -> dict[str, Metric]:
    return {one.name: one for one in text_string_to_metric_families(metrics.text())}


def _values(family: Metric, ending: str) -> list[float]:
    return [one.value for one in family.samples if one.name.endswith(ending)]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_histogram_keeps_prometheus_rules(durations: list[float]) -> None:
    """Buckets are cumulative, the last one is +Inf and equals the count, the sum is that of the durations."""
    metrics = Metrics({})
    for one in durations:
        metrics.count("/v1/predict", 200, one)

    family = _families(metrics)["alula_request_seconds"]

    buckets = [one for one in family.samples if one.name.endswith("_bucket")]
    assert [float(one.labels["le"]) for one in buckets] == [*BOUNDS, float("inf")]
    expected = [sum(one <= float(bucket.labels["le"]) for one in durations) for bucket in buckets]
    assert [bucket.value for bucket in buckets] == expected
    assert _values(family, "_count") == [len(durations)]
    total = 0.0
    for one in durations:
        total += one
    assert _values(family, "_sum") == [total]


def test_bounds_grow() -> None:
    """A bucket below the one before it would never count."""
    assert all(lower < upper for lower, upper in pairwise(BOUNDS))


@given(st.text(max_size=20))
def test_label_texts_come_back_unchanged(text: str) -> None:
    """A model's name may hold quotes, backslashes and line ends; none of them ends the label."""
    (sample,) = _families(Metrics({"model": text, "version": "1"}))["alula_model_info"].samples

    assert sample.labels == {"model": text, "version": "1"}


def test_requests_are_counted_by_route_and_status() -> None:
    """Error rates are a quotient of these counters."""
    metrics = Metrics({})
    for status in (200, 200, 503):
        metrics.count("/v1/predict", status, 0.001)
    metrics.count("other", 404, 0.001)

    samples = _families(metrics)["alula_requests"].samples

    found = {(one.labels["route"], one.labels["status"]): one.value for one in samples}
    assert found == {("/v1/predict", "200"): 2, ("/v1/predict", "503"): 1, ("other", "404"): 1}


def test_gauges_show_what_is_now() -> None:
    """Overload shows in these three before it shows in errors."""
    metrics = Metrics({})
    metrics.in_flight, metrics.connections, metrics.body_bytes = 3, 5, 700

    families = _families(metrics)

    names = ("alula_requests_in_flight", "alula_connections", "alula_body_bytes")
    assert [families[name].samples[0].value for name in names] == [3, 5, 700]


def test_each_phase_has_a_histogram() -> None:
    """Where the time goes: one label a phase, under one name."""
    metrics = Metrics({})
    metrics.phases({"decode": 0.002, "inference": 0.01})
    metrics.phases({"decode": 0.002})

    samples = _families(metrics)["alula_phase_seconds"].samples

    counts = {one.labels["phase"]: one.value for one in samples if one.name.endswith("_count")}
    assert counts == {"decode": 2, "inference": 1}


def test_every_family_has_help_and_a_type() -> None:
    """Dashboards show both; a family without a type is drawn as a gauge."""
    metrics = Metrics({"model": "m"})
    metrics.count("/", 200, 0.1)
    metrics.phases({"decode": 0.1})

    families = list(text_string_to_metric_families(metrics.text()))

    assert len(families) == 7
    assert all(one.documentation and one.type != "unknown" for one in families)
