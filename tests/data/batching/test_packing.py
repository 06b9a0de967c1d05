from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batching.packing import (
    Share,
    batch_shapes,
    bucket_lengths,
    emptiest_last,
    empty_share,
    group_rows,
    pack,
)
from data.config import DataConfig
from data.errors import InputError
from tests.support import plain_batching

SIZES = st.lists(st.tuples(st.integers(2, 20), st.integers(2, 20)), max_size=300)


def array_of(sizes):
    return np.array(sizes, np.int64).reshape(-1, 2)


@given(SIZES)
def test_packed_rows_hold_every_pair_once_and_none_overflows(sizes):
    rows = pack(array_of(sizes), 20).lists()
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    assert all(sum(side) <= 20 for row in rows for side in zip(*(sizes[index] for index in row), strict=True))


@given(SIZES, st.sampled_from([20, 31, 32, 33, 64]))
def test_rows_are_those_of_plain_first_fit(sizes, row_length):
    assert pack(array_of(sizes), row_length).lists() == plain_batching.pack(sizes, row_length)


@pytest.mark.parametrize(("row_length", "longest"), [(128, 40), (128, 128), (512, 90), (4096, 3000)])
def test_rows_are_those_of_plain_first_fit_when_many_have_closed(row_length, longest):
    sizes = np.random.default_rng(row_length).integers(2, longest + 1, (3000, 2))
    assert pack(sizes, row_length).lists() == plain_batching.pack(sizes.tolist(), row_length)


def test_first_fit_takes_the_first_row_with_room_on_both_sides():
    assert pack(array_of([(3, 2), (4, 4), (2, 2)]), 5).lists() == [[0, 2], [1]]
    assert pack(array_of([(4, 2), (2, 2), (2, 2)]), 5).lists() == [[0], [1, 2]]
    assert pack(array_of([]), 5).lists() == []


def test_packed_rows_are_more_than_nine_tenths_full():
    generator = np.random.default_rng(1)
    source = generator.integers(5, 30, 3000)
    sizes = np.stack([source, source + generator.integers(0, 4, 3000)], axis=1)
    assert sizes[:, 1].sum() > 0.9 * 128 * len(pack(sizes, 128))


@pytest.mark.parametrize("row_length", [4, 8, 50, 64, 128, 512])
def test_buckets_grow_in_small_steps_to_the_row_length(row_length):
    lengths = bucket_lengths(row_length, 0)
    assert lengths[-1] == row_length
    assert all(a < b <= max(a + 4, 1.25 * a) for a, b in pairwise(lengths))
    assert len(lengths) < 30


@pytest.mark.parametrize("row_length", [4, 8, 50, 64, 128, 512])
def test_a_limited_number_of_buckets_grows_by_about_the_same_factor_to_the_row_length(row_length):
    assert bucket_lengths(64, 4) == [8, 16, 32, 64]  # the docstring's example
    for count in range(1, 12):
        lengths = bucket_lengths(row_length, count)
        assert lengths[-1] == row_length
        assert len(lengths) <= count
        factor = (row_length / 8) ** (1 / max(1, count - 1))
        assert all(a < b <= a * factor + 4 for a, b in pairwise(lengths))


@pytest.mark.parametrize("buckets", [0, 4])
@given(SIZES)
def test_a_bucket_is_the_shortest_that_holds_both_sides(buckets, sizes):
    groups = group_rows(array_of(sizes), DataConfig(batching="bucketed", row_length=32, buckets=buckets))
    lengths = {index: length for length, rows in groups.items() for (index,) in rows.lists()}
    assert sorted(lengths) == list(range(len(sizes)))
    for index, length in lengths.items():
        assert max(sizes[index]) <= length
        assert all(shorter < max(sizes[index]) for shorter in bucket_lengths(32, buckets) if shorter < length)


def test_the_emptiest_rows_go_last_and_the_others_keep_their_order():
    sizes = array_of([(9, 9), (2, 2), (8, 8), (3, 3)])
    rows = group_rows(sizes, DataConfig(row_length=16, batching="bucketed"))[8].take(np.array([0, 2, 1]))
    assert rows.lists() == [[1], [3], [2]]
    assert emptiest_last(rows, sizes, 2).tolist() == [2, 0, 1]


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
