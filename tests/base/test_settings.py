from __future__ import annotations

from pathlib import Path

import pytest

from alula.base.errors import SettingsError
from alula.base.settings import TABLE, Settings, read_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    """alula runs without any setting."""
    assert read_settings({"HOME": "/home/a"}) == Settings(
        cache=Path("/home/a/.cache/alula"), threads=0, target="", check=False, verify="all", jobs=0
    )


def test_every_setting_is_read_from_its_variable() -> None:
    """The table is the whole truth: each row's variable sets each row's field."""
    environment = {
        "ALULA_CACHE": "/tmp/c",  # noqa: S108  a name only
        "ALULA_THREADS": "3",
        "ALULA_TARGET": "x86-64-v3",
        "ALULA_CHECK": "1",
        "ALULA_VERIFY": "code",
        "ALULA_JOBS": "2",
        "ALULA_PLANS": "3",
        "ALULA_CACHE_BYTES": "5k",
        "ALULA_LOOP_LIMIT": "70",
        "ALULA_NODE_LIMIT": "1000",
        "ALULA_NESTING_LIMIT": "4",
    }
    assert {row.variable for row in TABLE} == set(environment)

    found = read_settings(environment)

    assert found == Settings(
        Path("/tmp/c"),  # noqa: S108
        3,
        "x86-64-v3",
        check=True,
        verify="code",
        jobs=2,
        plans=3,
        cache_bytes=5120,
        loop_limit=70,
        node_limit=1000,
        nesting_limit=4,
    )


@pytest.mark.parametrize(("environment", "folder"), [
    ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/alula"),
    ({"HOME": "/h"}, "/h/.cache/alula"),
    ({"ALULA_CACHE": "", "HOME": "/h"}, "/h/.cache/alula"),
    ({"ALULA_CACHE": "/mine", "XDG_CACHE_HOME": "/x"}, "/mine"),
])  # fmt: skip
def test_the_cache_is_where_the_desktop_says(environment: dict[str, str], folder: str) -> None:
    """XDG Base Directory Specification, section 3; our own variable goes first."""
    assert read_settings(environment).cache == Path(folder)


@pytest.mark.parametrize(("variable", "text"), [
    ("ALULA_THREADS", "many"), ("ALULA_THREADS", "-1"), ("ALULA_THREADS", "1025"), ("ALULA_THREADS", ""),
    ("ALULA_CHECK", "maybe"), ("ALULA_LOOP_LIMIT", "0"), ("ALULA_LOOP_LIMIT", "9" * 99), ("ALULA_VERIFY", "none"),
    ("ALULA_JOBS", "1.5"), ("ALULA_PLANS", "0.5"), ("ALULA_NODE_LIMIT", "0"), ("ALULA_NESTING_LIMIT", "65"),
    ("ALULA_CACHE_BYTES", "much"), ("ALULA_CACHE_BYTES", "-1G"), ("ALULA_CACHE_BYTES", "1X"),
])  # fmt: skip
def test_a_bad_value_names_its_variable(variable: str, text: str) -> None:
    """A misspelt setting must not silently be the default."""
    with pytest.raises(SettingsError, match=variable):
        read_settings({variable: text, "HOME": "/h"})
