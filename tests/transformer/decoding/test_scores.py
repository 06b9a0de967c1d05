import pytest

from tests.support.markov_search import plan
from transformer.decoding.scores import inverse_length_penalties


def test_the_gnmt_length_penalty_is_that_of_wu_et_al_and_counts_eos():
    """Worked out on paper: ((5 + 1) / 6) ** a = 1 for EOS alone; ((5 + 7) / 6) ** 0.5 is the root of 2."""
    assert inverse_length_penalties(plan(1, 1, 7, length_penalty=0.5))[[1, 7]].tolist() == pytest.approx(
        [1.0, 0.5**0.5]
    )
