from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batch import BOS, EOS, Batch, Pair, TokenPair
from data.batching.filters import first_occurrences, keep_pairs, sides
from data.batching.packing import (
    Share,
    batch_shapes,
    bucket_lengths,
    bucket_of,
    emptiest_last,
    empty_share,
    group_rows,
    make_batch,
    pack,
)
from data.config import DataConfig
from data.errors import InputError


def pair_of(source, target, token=10):
    """A pair that takes `source` and `target` positions, EOS counted."""
    return TokenPair([*range(token, token + source - 1), EOS], list(range(token, token + target - 1)))


PAIRS = st.lists(st.builds(pair_of, st.integers(2, 20), st.integers(2, 20), st.integers(10, 99)), max_size=200)


def read_back(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """The pairs of a batch, by its segments alone."""
    pairs = []
    for n in range(len(batch.source)):
        for segment in range(1, batch.source_segments[n].max() + 1):
            source = batch.source[n][batch.source_segments[n] == segment]
            labels = batch.target_labels[n][batch.target_segments[n] == segment]
            pairs.append((source.tolist(), labels.tolist()))
    return pairs


def test_the_example_of_batch_is_what_make_batch_makes():
    a, b = TokenPair([11, 12, EOS], [21, 22]), TokenPair([13, EOS], [23])
    batch = make_batch([[a, b]], source_length=6, target_length=6, rows_count=2)
    first = Batch(*(array[0].tolist() for array in batch))
    assert first.source == [11, 12, EOS, 13, EOS, 0]
    assert first.source_segments == [1, 1, 1, 2, 2, 0]
    assert first.source_positions == [0, 1, 2, 0, 1, 0]
    assert first.target_inputs == [BOS, 21, 22, BOS, 23, 0]
    assert first.target_labels == [21, 22, EOS, 23, EOS, 0]
    assert first.target_segments == [1, 1, 1, 2, 2, 0]
    assert first.target_positions == [0, 1, 2, 0, 1, 0]
    assert not any(array[1].any() for array in batch)
    assert {array.dtype for array in batch} == {np.dtype(np.int32)}


@given(PAIRS)
def test_packed_rows_hold_every_pair_once_and_none_overflows(pairs):
    rows = pack(pairs, 20)
    assert sorted(index for row in rows for index in row) == list(range(len(pairs)))
    for row in rows:
        assert all(sum(side) <= 20 for side in zip(*(sides(pairs[index]) for index in row), strict=True))
    batch = make_batch(
        [[pairs[i] for i in row] for row in rows], source_length=20, target_length=20, rows_count=len(rows)
    )
    packed = sorted((pair.source, [*pair.target, EOS]) for pair in pairs)
    assert sorted(read_back(batch)) == packed


@given(PAIRS)
def test_target_inputs_are_the_labels_shifted_within_each_sentence(pairs):
    batch = make_batch([[pair] for pair in pairs], source_length=20, target_length=20, rows_count=len(pairs))
    for n, pair in enumerate(pairs):
        length = len(pair.target) + 1
        assert batch.target_inputs[n, :length].tolist() == [BOS, *pair.target]
        assert not batch.target_inputs[n, length:].any()


def test_first_fit_takes_the_first_row_with_room_on_both_sides():
    assert pack([pair_of(3, 2), pair_of(4, 4), pair_of(2, 2)], 5) == [[0, 2], [1]]
    assert pack([pair_of(4, 2), pair_of(2, 2), pair_of(2, 2)], 5) == [[0], [1, 2]]
    assert pack([], 5) == []


def test_packing_wastes_little():
    generator = np.random.default_rng(1)
    pairs = [
        pair_of(int(n), int(n) + int(d))
        for n, d in zip(generator.integers(5, 30, 3000), generator.integers(0, 4, 3000), strict=False)
    ]
    rows = pack(pairs, 128)
    assert sum(sides(pair)[1] for pair in pairs) > 0.9 * 128 * len(rows)


@pytest.mark.parametrize("row_length", [4, 8, 50, 64, 128, 512])
def test_buckets_grow_in_small_steps_to_the_row_length(row_length):
    lengths = bucket_lengths(row_length)
    assert lengths[-1] == row_length
    assert all(a < b <= max(a + 4, 1.25 * a) for a, b in pairwise(lengths))
    assert len(lengths) < 30


def test_a_bucket_is_the_shortest_that_holds_both_sides():
    assert bucket_of(pair_of(5, 9), [8, 12]) == 12
    assert bucket_of(pair_of(8, 2), [8, 12]) == 8


@given(PAIRS)
def test_bucketed_groups_hold_every_pair_once(pairs):
    groups = group_rows(pairs, DataConfig(row_length=32))
    assert sorted(index for rows in groups.values() for (index,) in rows) == list(range(len(pairs)))
    assert all(max(sides(pairs[index])) <= length for length, rows in groups.items() for (index,) in rows)


def test_the_emptiest_rows_go_last_and_the_others_keep_their_order():
    pairs = [pair_of(9, 9), pair_of(2, 2), pair_of(8, 8), pair_of(3, 3)]
    assert emptiest_last([[0], [1], [2], [3]], pairs, 2) == [[0], [2], [1], [3]]


@pytest.mark.parametrize("batching", ["packed", "bucketed"])
def test_rows_times_length_stay_within_the_batch(batching):
    config = DataConfig(batching=batching, row_length=64)
    shapes = batch_shapes(config, batch_tokens=1000)
    assert (len(shapes) == 1) == (batching == "packed")
    for rows, source_length, target_length in shapes:
        assert rows * target_length <= 1000 < (rows + 1) * target_length
        assert source_length == target_length


def test_too_small_a_batch_is_refused():
    with pytest.raises(
        InputError, match=r"batch_tokens is 100, too few for one row of data\.row_length 128: set at least 128"
    ):
        batch_shapes(DataConfig(), batch_tokens=100)


@pytest.mark.parametrize("total", [1, 6, 8, 25])
@pytest.mark.parametrize(("count", "row_multiple"), [(1, 1), (2, 4), (3, 24)])
def test_shares_together_are_the_rows_and_then_empty_ones(total, count, row_multiple):
    shares = [Share(index, count, row_multiple).rows(total) for index in range(count)]
    assert len({len(share) for share in shares}) == 1
    together = [row for share in shares for row in share]
    assert together == list(range(len(together)))
    assert len(together) % row_multiple == 0
    assert total <= len(together) < total + row_multiple
    assert list(Share(1, 2, 4).rows(6)) == [4, 5, 6, 7]
    assert empty_share([(6, 16, 16), (8, 12, 12)], 4) == 0.25
    assert empty_share([(6, 16, 16)], 1) == 0


def test_filters_count_what_they_drop():
    pairs = [pair_of(3, 3), pair_of(1, 3), pair_of(3, 1), pair_of(5, 3), pair_of(3, 5), pair_of(4, 2)]
    kept, dropped = keep_pairs(pairs, DataConfig(maximum_tokens=4, maximum_side_ratio=1.5))
    assert kept == [0]
    assert dropped == {"empty side": 2, "too long": 2, "unbalanced": 1}
    assert keep_pairs(pairs, DataConfig(maximum_tokens=4))[0] == [0, 5]


def test_the_first_of_equal_pairs_stays():
    pairs = [Pair("a", "b"), Pair("c", "d"), Pair("a", "b"), Pair("a", "d")]
    assert first_occurrences(pairs).tolist() == [0, 1, 3]
