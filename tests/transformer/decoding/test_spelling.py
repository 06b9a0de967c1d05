import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import EOS
from tests.support.markov_search import (
    LENGTH,
    VOCABULARY,
    WIDE,
    check_against_brute_force,
    limited,
    plan,
    run,
    tables,
    texts,
)
from transformer.decoding import Request, SearchPlan
from transformer.decoding.spelling import STATES


def spelling_rows() -> tuple[Request, SearchPlan]:
    """Four rows. After `prefix`: 5 or (4, 6); after 6: 5 or (4, 6); 6 or the end, by a range and a step; anything."""
    ranges, steps = np.zeros((4, STATES, 2), np.int32), np.zeros((4, STATES, STATES), np.int32)
    ranges[:2, :2] = [(5, 6), (6, 7)]
    steps[:2, 0, 1] = 4
    ranges[2, 0], steps[2, 0, 0] = (6, 7), EOS
    prefix = jnp.asarray([[0, 0, 0, 0], [6, 0, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0]])
    rows = limited(jnp.full(4, LENGTH))._replace(prefix=prefix, ranges=jnp.asarray(ranges), steps=jnp.asarray(steps))
    return rows, dataclasses.replace(plan(WIDE, 1, LENGTH), ranks=tuple(range(VOCABULARY)))


def spells(row: int, tokens: tuple[int, ...]) -> bool:
    if row == 2:
        return tokens[:2] in ((4, 6), (4, EOS))
    beginnings = {0: ((5,), (4, 6)), 1: ((6, 5), (6, 4, 6)), 3: ((),)}[row]
    return any(tokens[: len(one)] == one for one in beginnings)


def test_an_output_spells_the_characters_of_its_row_in_any_tokens():
    rows, spelling = spelling_rows()
    check_against_brute_force("beam", rows, spelling, spells)


@pytest.mark.parametrize(
    ("strategy", "knobs"),
    [
        ("greedy", {"beam": 1}),
        ("sampling", {"beam": 8, "sampling": True, "temperature": 3.0}),
        ("diverse", {"beam": 4, "groups": 2}),
        ("terminology", {"beam": 4}),
    ],
)
def test_every_strategy_spells_the_characters_of_its_row(strategy, knobs):
    rows, spelling = spelling_rows()
    if strategy == "terminology":
        none = jnp.zeros((4, 1), jnp.int32)
        rows = rows._replace(terms=none[..., None], items=none, places=jnp.zeros((4, 1, 0), bool))
    found = run(strategy, tables(rows=4, seed=3), rows, dataclasses.replace(spelling.with_decoding(**knobs), keep=1))
    for row in range(4):
        for text in texts(found, row):
            assert spells(row, text)
