import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.evaluation.edit_rate import CharacterEditRate, edit_distance

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


def rate(hypotheses, *references):
    return CharacterEditRate().corpus_score(hypotheses, references).score


def test_the_rate_counts_all_edits_and_all_characters_of_the_references():
    assert rate(["你们好"], ["你好"]) == 50
    assert rate(["你 们好A", "狗"], ["你好a", "狗狗"]) == pytest.approx(100 * 2 / 5)
    assert rate(["", "狗"], ["", "狗"]) == 0
    assert rate(["a"], [" "]) == 100


def test_of_two_references_the_nearer_one_counts_and_their_mean_length():
    assert rate(["狗狗"], ["狗"], ["狗狗狗狗"]) == pytest.approx(100 * 1 / 2.5)


def test_lines_of_a_thousand_characters_take_little_time():
    assert edit_distance("ab" * 500, "ba" * 500) == 2
