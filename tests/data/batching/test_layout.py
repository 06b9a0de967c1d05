import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.batch import BOS, EOS, Batch, TokenPair
from data.batching.layout import make_batch
from tests.support import plain_batching


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
def test_rows_of_several_pairs_can_be_read_back(pairs):
    rows = plain_batching.pack([plain_batching.sides(pair) for pair in pairs], 20)
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
