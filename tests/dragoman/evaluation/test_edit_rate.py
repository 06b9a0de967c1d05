import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.evaluation.edit_rate import character_edit_rate, edit_distance

WORDS = st.text(alphabet="ab狗猫", max_size=7)


@functools.cache
def by_definition(one: str, other: str) -> int:
    """The distance, as it is defined."""
    if not one or not other:
        return len(one) + len(other)
    kept = by_definition(one[1:], other[1:]) + (one[0] != other[0])
    return min(kept, by_definition(one[1:], other) + 1, by_definition(one, other[1:]) + 1)


@given(WORDS, WORDS)
def test_the_distance_is_the_smallest_number_of_edits(one, other):
    assert edit_distance(one, other) == by_definition(one, other)


def test_the_rate_counts_all_edits_and_all_characters_of_the_references():
    assert character_edit_rate(["你们好"], ["你好"]) == 50
    assert character_edit_rate(["你 们好A", "狗"], ["你好a", "狗狗"]) == pytest.approx(100 * 2 / 5)
    assert character_edit_rate(["", "狗"], ["", "狗"]) == 0
    assert character_edit_rate(["a"], [" "]) == 100


def test_lines_of_a_thousand_characters_take_little_time():
    assert edit_distance("ab" * 500, "ba" * 500) == 2
