import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.markov_search import limited, plan, run, tables


@pytest.mark.parametrize("strategy", ["greedy", "beam", "diverse", "terminology", "sampling"])
def test_a_few_slots_and_a_growing_cache_give_what_all_rows_together_give(strategy):
    table = tables(rows=11, seed=11)
    rows = limited(jnp.asarray([3, 20, 0, 20, 9, 20, 20, 1, 20, 5, 20]))
    rows = rows._replace(key=np.arange(22, dtype=np.uint32).reshape(11, 2))
    beams = 1 if strategy == "greedy" else 4
    knobs = {"groups": 2 if strategy == "diverse" else 1, "diversity": 0.3}
    expected = run(strategy, table, rows, plan(beams, beams, 20, **knobs))
    for apart in (plan(beams, beams, 20, bucket=6, **knobs), plan(beams, beams, 20, bucket=6, rows=3, **knobs)):
        assert apart.stages == (6, 20)
        jax.tree.map(np.testing.assert_array_equal, run(strategy, table, rows, apart), expected)
