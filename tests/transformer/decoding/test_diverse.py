import jax.numpy as jnp
import numpy as np

from tests.support.markov_search import limited, plan, run, tables, texts


def test_groups_without_diversity_are_copies_of_a_smaller_beam_and_the_first_group_always_is():
    table = tables(rows=20, seed=15)
    rows = limited(jnp.full(20, 12))
    small = run("beam", table, rows, plan(2, 2, 12))
    same = run("diverse", table, rows, plan(6, 6, 12, groups=3, diversity=0.0))
    apart = run("diverse", table, rows, plan(6, 6, 12, groups=3, diversity=5.0))
    kinds = []
    for row in range(20):
        assert set(texts(same, row)) == set(texts(small, row))
        assert set(texts(small, row)) <= set(texts(apart, row))
        kinds.append(len({tokens[:1] for tokens in texts(apart, row)}))
    assert np.mean(kinds) > 2.5
