"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A slow shared machine must not fail a test, and the same tree must give the same verdict twice.
settings.register_profile(
    "alula", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alula")
