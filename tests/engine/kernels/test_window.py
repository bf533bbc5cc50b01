"""Sliding windows along one axis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alula.engine.kernels.window import Axis, columns, rows_per_unit, tile_axis


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    """Windows whose first and last may hang over the borders."""
    taps, stride, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pad = draw(st.integers(0, taps * dilation))
    return Axis(draw(st.integers(1, 60)), draw(st.integers(1, 60)), taps, stride, dilation, pad)


@given(axes(), st.integers(2, 14))
def test_strips_cover_every_output_once(axis: Axis, largest: int) -> None:
    """Rule: tiles meet exactly and none exceeds the registers."""
    strips = tile_axis(axis, largest)
    covered = [s.first + i for s in strips for i in range(s.size * s.count)]

    assert covered == list(range(axis.outputs))
    assert max(strip.size for strip in strips) <= largest


@given(axes(), st.integers(2, 14))
def test_tiles_that_share_code_are_away_from_the_borders(axis: Axis, largest: int) -> None:
    """Rule: code of a loop clips nothing, so that every tap of all its tiles must be inside."""
    for strip in tile_axis(axis, largest):
        if strip.count > 1:
            assert all(axis.inside(strip.first + i) for i in range(strip.size * strip.count))


@given(axes())
def test_columns_feed_exactly_the_valid_taps(axis: Axis) -> None:
    """Rule: each column is visited once and brings each output all its taps inside of the map."""
    for strip in tile_axis(axis, 8):
        visited = columns(axis, strip)
        feeds = sorted(use for column in visited for use in column.uses)
        wanted = [(i, tap) for i in range(strip.size) for tap in axis.valid_taps(strip.first + i)]

        assert len({column.offset for column in visited}) == len(visited)
        assert feeds == sorted(wanted)


@given(st.integers(1, 200), st.integers(1, 200))
def test_rows_are_cut_only_where_planes_are_few(planes: int, rows: int) -> None:
    """Rule: enough units for a few workers, as long as there are rows."""
    count = rows_per_unit(planes, rows)

    assert 1 <= count <= rows
    assert planes < 16 or count == rows
    assert planes * -(-rows // count) >= min(8, planes * rows)
