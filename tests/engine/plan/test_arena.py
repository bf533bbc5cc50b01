from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alula.engine.plan.arena import ALIGNMENT, Lifetime, align, place_lifetimes


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Lifetime]:
    """Values of all sizes, empty ones included, over twenty steps."""
    spans = st.tuples(st.integers(0, 5000), st.integers(0, 20), st.integers(0, 20))
    return [
        Lifetime(f"v{index}", size, min(a, b), max(a, b))
        for index, (size, a, b) in enumerate(draw(st.lists(spans, max_size=30)))
    ]


@given(lifetimes())
def test_values_alive_together_never_share_a_byte(lives: list[Lifetime]) -> None:
    """One value written over another that is still read is a wrong answer without a message."""
    offsets, _ = place_lifetimes(lives)

    for a in lives:
        for b in lives:
            if a is not b and a.meets(b) and a.size and b.size:
                apart = offsets[a.name] + a.size <= offsets[b.name] or offsets[b.name] + b.size <= offsets[a.name]
                assert apart, (a, b)


@given(lifetimes())
def test_all_values_lie_aligned_inside_an_arena_no_larger_than_their_sum(lives: list[Lifetime]) -> None:
    """Kernels expect whole cache lines; sharing memory must never cost memory."""
    offsets, total = place_lifetimes(lives)

    assert all(offset % ALIGNMENT == 0 for offset in offsets.values())
    assert all(offsets[life.name] + life.size <= total for life in lives)
    assert total <= sum(align(life.size) for life in lives)


@given(lifetimes())
def test_the_arena_is_never_smaller_than_what_is_alive_at_one_step(lives: list[Lifetime]) -> None:
    """The lower bound that any placement has."""
    _, total = place_lifetimes(lives)

    alive = (sum(life.size for life in lives if life.first <= step <= life.last) for step in range(21))
    assert total >= max(alive)


def test_values_that_follow_one_another_share_memory() -> None:
    """The arena of a chain is that of its two largest neighbours, not of its length."""
    chain = [Lifetime(f"v{step}", 1024, step, step + 1) for step in range(50)]

    _, total = place_lifetimes(chain)

    assert total == 2048
