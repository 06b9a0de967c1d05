"""Rows that share a few slots are searched as all rows together are, however they take turns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import markov_search
from tests.support.markov_search import limited, plan, run, tables
from transformer.decoding import slots


@pytest.fixture
def at_once(monkeypatch):
    """Exchanges rows at once, as on a GPU."""
    markov_search.compiled.clear_cache()
    monkeypatch.setattr(slots, "exchange_one_by_one", slots.exchange_at_once)
    yield
    markov_search.compiled.clear_cache()


STRATEGIES = pytest.mark.parametrize("strategy", ["greedy", "beam", "diverse", "terminology", "sampling"])


@STRATEGIES
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


@STRATEGIES
def test_rows_that_are_exchanged_at_once_give_the_same(at_once, strategy):
    test_a_few_slots_and_a_growing_cache_give_what_all_rows_together_give(strategy)


def exchanged(exchange):
    """Four slots of six rows after rows 0 and 2 have left, with two rows waiting for the three slots."""
    values = jnp.arange(6)
    everyone = Rows(values, jnp.ones(6, bool), values[:, None] * 10)
    queue = slots.Queue(everyone, jnp.arange(6), jnp.asarray(6), lambda cache: cache + 1, keeps_cache=True)
    now = slots.Slots(
        state=Rows(100 + values[:4], jnp.ones(4, bool), 100 + values[:4, None]),
        rows=jnp.array([0, slots.EMPTY, 2, 3]),
        begun=jnp.asarray(4),
        done=everyone._replace(steps=values - 6),
    )
    return exchange(now, jnp.array([True, False, True, False]), queue)


class Rows(NamedTuple):
    """A state of rows that hold numbers."""

    steps: jax.Array
    is_open: jax.Array
    cache: jax.Array


@pytest.mark.parametrize("exchange", [slots.exchange_one_by_one, slots.exchange_at_once])
def test_rows_that_leave_are_kept_and_the_next_ones_enter_the_first_empty_slots(exchange):
    after = exchanged(exchange)
    assert after.done.steps.tolist() == [100, -5, 102, -3, -2, -1]
    assert after.done.cache[:, 0].tolist() == [100, 10, 102, 30, 40, 50]
    assert after.rows.tolist() == [4, 5, slots.EMPTY, 3]
    assert after.begun == 6
    assert after.state.steps[jnp.array([0, 1, 3])].tolist() == [4, 5, 103]
    assert after.state.cache[jnp.array([0, 1, 3]), 0].tolist() == [41, 51, 103]  # their cache has grown
    assert after.state.is_open.tolist() == [True, True, False, True]
