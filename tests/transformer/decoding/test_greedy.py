import jax.numpy as jnp
import pytest

from tests.support.markov_search import limited, plan, stepper
from transformer.decoding.greedy import greedy_search


def test_greedy_search_refuses_a_beam():
    with pytest.raises(ValueError, match="greedy search follows 1 hypothesis, and was asked for 4: use beam search"):
        greedy_search(stepper(), None, limited(jnp.full(1, 9)), plan(4, 1, 9))
