"""Corrupted rows: the shares of what is restored, what is never touched, and the same corruption anywhere."""

import numpy as np
import pytest

from data.batch import EOS, Batch, TokenPair
from data.batching.denoising import MASK, CorruptedBatches, Denoising
from data.batching.layout import make_batch

VOCABULARY = 500


def denoising(*, sides: str = "both", share: float = 0.15, begins_word=None, seed: int = 1) -> Denoising:
    return Denoising(sides, share, begins_word, VOCABULARY, seed)


def batch_of(rows: int = 60, *, seed: int = 0) -> Batch:
    """Rows of two pairs, whose sources have even ids and whose targets have odd ones."""
    random = np.random.default_rng(seed)

    def pair() -> TokenPair:
        source, target = (random.integers(4, VOCABULARY // 2 - 1, random.integers(5, 30)) * 2 for _ in range(2))
        return TokenPair([*source.tolist(), EOS], (target + 1).tolist())

    return make_batch([[pair(), pair()] for _ in range(rows)], source_length=64, target_length=64, rows_count=rows + 2)


def test_a_sixth_is_restored_of_which_most_is_masked_and_the_rest_replaced_or_kept():
    batches = [denoising().corrupt(batch_of(), number) for number in range(10)]
    chosen = np.concatenate([one.target_segments != 0 for one in batches])
    real = np.concatenate([(one.source_segments != 0) & (one.target_labels != EOS) for one in batches])
    read, original = (np.concatenate([getattr(one, name) for one in batches]) for name in ("source", "target_labels"))
    assert not (chosen & ~real).any()
    assert chosen.sum() / real.sum() == pytest.approx(0.15, abs=0.01)
    assert (read[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (read[chosen] == original[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    replaced = read[chosen][(read[chosen] != MASK) & (read[chosen] != original[chosen])]
    assert replaced.min() > EOS
    np.testing.assert_array_equal(read[~chosen], original[~chosen])


@pytest.mark.parametrize("sides", ["source", "target", "both"])
def test_a_row_has_the_text_of_a_side_that_is_wanted(sides):
    batch = batch_of()
    found = denoising(sides=sides).corrupt(batch, 3)
    is_source = (found.target_labels == batch.source).all(1)
    is_target = (found.target_labels == batch.target_labels).all(1)
    assert (is_source | is_target).all()
    shares = {"source": (1, 1), "target": (0, 0), "both": (0.3, 0.7)}[sides]
    assert shares[0] <= is_source[:-2].mean() <= shares[1]
    for mine, segments in ((is_source, batch.source_segments), (is_target, batch.target_segments)):
        np.testing.assert_array_equal(found.source_segments[mine], segments[mine])


def test_a_row_is_corrupted_in_the_same_way_wherever_it_is_and_in_another_way_when_it_comes_again():
    batch, one = batch_of(), denoising()
    whole = one.corrupt(batch, 5)
    part = one.corrupt(Batch(*(array[20:30] for array in batch)), 5)
    np.testing.assert_array_equal(part.source, whole.source[20:30])
    assert (one.corrupt(batch, 6).source != whole.source).any(1)[:-2].all()
    assert (denoising(seed=2).corrupt(batch, 5).source != whole.source).any(1)[:-2].all()


def test_whole_words_are_restored_or_not_at_all():
    begins_word = np.arange(VOCABULARY) % 3 == 0
    begins_word[: EOS + 1] = True
    found = denoising(share=0.3, begins_word=begins_word).corrupt(batch_of(), 1)
    chosen = found.target_segments != 0
    continues = ~begins_word[found.target_labels] & (found.source_positions > 0)
    places = np.argwhere(continues)
    assert len(places) > 100
    assert all(chosen[row, place] == chosen[row, place - 1] for row, place in places)
    assert 0.2 < chosen[found.source_segments != 0].mean() < 0.4


class Counted:
    """Batches with a position."""

    def __init__(self):
        self.number = 0

    def __next__(self) -> Batch:
        self.number += 1
        return batch_of(4, seed=self.number)

    def get_state(self) -> int:
        return self.number

    def set_state(self, state: int) -> None:
        self.number = state


def test_corrupted_batches_resume_exactly():
    stream = CorruptedBatches(Counted(), denoising())
    next(stream)
    state = stream.get_state()
    later = [next(stream) for _ in range(2)]
    resumed = CorruptedBatches(Counted(), denoising())
    resumed.set_state(state)
    for batch in later:
        np.testing.assert_array_equal(next(resumed).source, batch.source)
