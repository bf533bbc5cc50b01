from __future__ import annotations

from dataclasses import fields

import pytest

from alula.base.errors import SettingsError
from alula.serving.settings import ServeSettings, WireLimits


@pytest.mark.parametrize("name", [one.name for one in fields(WireLimits)])
@pytest.mark.parametrize("value", [0, -1])
def test_every_wire_limit_is_above_zero(name: str, value: int) -> None:
    """A limit of zero lets nothing through, and the error names the field."""
    with pytest.raises(SettingsError, match=rf"WireLimits\.{name}: needs a number above 0, got {value}"):
        WireLimits(**{name: value})


@pytest.mark.parametrize("name", ["workers", "deadline_seconds", "drain_seconds"])
def test_every_figure_of_a_server_is_above_zero(name: str) -> None:
    """A server without workers or time answers nothing."""
    with pytest.raises(SettingsError, match=rf"ServeSettings\.{name}: needs a number above 0, got 0"):
        ServeSettings(**{name: 0})  # type: ignore[arg-type]


def test_a_queue_may_have_no_place() -> None:
    """Then a request is computed at once or refused; fewer than no places are a mistake."""
    assert ServeSettings(queue=0).queue == 0
    with pytest.raises(SettingsError, match=r"ServeSettings\.queue"):
        ServeSettings(queue=-1)


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_have_16_bits(port: int) -> None:
    """The error comes before the socket's."""
    with pytest.raises(SettingsError, match=rf"ServeSettings\.port: needs 0 to 65535, got {port}"):
        ServeSettings(port=port)


def test_a_server_is_reached_from_this_machine_only() -> None:
    """Opening it to others is somebody's decision, never a default."""
    assert ServeSettings().host == "127.0.0.1"
