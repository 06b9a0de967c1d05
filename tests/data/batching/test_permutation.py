import grain
import numpy as np
import pytest

from data.batching.permutation import permute


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("size", [1, 2, 150, 65536, 65538, 232_000, 2**18, 5_000_000_000])
def test_it_is_the_shuffle_of_grain(size, seed):
    indices = np.unique(np.r_[np.arange(min(size, 40)), np.random.default_rng(size).integers(0, size, 40), size - 1])
    expected = [
        grain.experimental.index_shuffle(index, max_index=size - 1, seed=seed, rounds=4) for index in indices.tolist()
    ]
    assert permute(indices, size, seed).tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 150, 65536, 65537, 262_145])
def test_every_index_is_taken_once(size):
    """Also where grain's shuffle never takes the last: sizes such as 65537, one more than a power of two."""
    assert np.array_equal(np.sort(permute(np.arange(size), size, 3)), np.arange(size))
