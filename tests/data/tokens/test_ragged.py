import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.batch import EOS, TokenPair
from data.tokens.ragged import PairTokens, Ragged, by_length, concatenate, join, nested, ranges

LISTS = st.lists(st.lists(st.integers(0, 65535), max_size=5), min_size=1, max_size=20)


@given(LISTS, st.data())
def test_lists_are_taken_sliced_and_padded_as_lists_are(lists, data):
    ragged = Ragged.of(lists, np.uint16)
    assert ragged.lists() == lists
    indices = data.draw(st.lists(st.integers(0, len(lists) - 1)))
    assert ragged.take(np.array(indices, np.int64)).lists() == [lists[index] for index in indices]
    first, last = sorted(data.draw(st.lists(st.integers(0, len(lists)), min_size=2, max_size=2)))
    assert ragged.slice(first, last).lists() == lists[first:last]
    assert ragged.padded(7).lists() == lists + [[]] * (-len(lists) % 7)


@given(LISTS, st.data())
def test_lists_of_lists_are_flattened_and_joined_as_lists_are(lists, data):
    outer = data.draw(st.lists(st.lists(st.integers(0, len(lists) - 1), max_size=4)))
    found = nested(Ragged.of(lists), Ragged.of(outer)).lists()
    assert found == [[value for index in indices for value in lists[index]] for indices in outer]
    assert concatenate([Ragged.of(lists), Ragged.of(outer)]).lists() == lists + outer


@given(st.lists(st.integers(0, 300)))
def test_groups_by_length_hold_every_list_once_and_grow(lengths):
    groups = [group.tolist() for group in by_length(np.array(lengths, np.int64))]
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    ordered = [lengths[index] for group in groups for index in group]
    assert ordered == sorted(lengths)
    assert all(groups)


def test_ranges_follow_each_other():
    assert ranges(np.array([7, 5, 2]), np.array([3, 0, 2])).tolist() == [7, 8, 9, 2, 3]


def test_sizes_count_an_end_on_each_side():
    tokens = PairTokens.of([TokenPair([5, 6, EOS], [7]), TokenPair([5, EOS], [])])
    assert tokens.sizes(np.array([1, 0])).tolist() == [[2, 1], [3, 2]]
    both = join([tokens, tokens])
    assert both.source.lists() == [[5, 6], [5], [5, 6], [5]]
