"""Search against brute force on small random Markov tables, and its relations to itself."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD, UNK
from transformer.decoding import STRATEGIES, Hypotheses, Settings, Stepper
from transformer.decoding.beam import beam_search
from transformer.decoding.greedy import greedy_search
from transformer.decoding.search import NEVER, inverse_length_penalties

LETTERS = range(4, 7)
VOCABULARY = 7
LENGTH = 4
ALPHAS = [0.0, 0.6, 1.0, 1.7]


class History(NamedTuple):
    """A cache that must be reordered: the token before the last one, and the row's table."""

    before: jax.Array  # [B, K]
    table: jax.Array  # [B, V, V, V]: log-probability of a token after two others


def stepper() -> Stepper:
    def step(tokens, cache):
        rows = jnp.arange(tokens.shape[0])[:, None]
        return cache.table[rows, cache.before, tokens], cache._replace(before=tokens)

    def reorder(cache, parents):
        return cache._replace(before=jnp.take_along_axis(cache.before, parents, axis=1))

    return Stepper(step, reorder)


def tables(rows: int, seed: int, sharpness: float = 1.5) -> np.ndarray:
    """Random second-order Markov chains, one a row, which never generate PAD, UNK or BOS."""
    logits = np.random.default_rng(seed).normal(size=(rows, VOCABULARY, VOCABULARY, VOCABULARY)) * sharpness
    logits[..., [PAD, UNK, BOS]] = NEVER
    return np.array(jax.nn.log_softmax(logits.astype(np.float32)))


def search(
    table: np.ndarray, *, beams: int, alpha: float, keep: int = 1, length: int = LENGTH, rows=None
) -> Hypotheses:
    rows = jnp.asarray(np.ones(len(table), bool) if rows is None else rows)
    cache = History(jnp.full((len(table), beams), PAD), jnp.asarray(table))
    settings = Settings(beams, keep, length, alpha)
    return jax.tree.map(np.asarray, run("greedy" if beams == 1 else "beam", cache, rows, settings))


@functools.partial(jax.jit, static_argnames=("strategy", "settings"))
def run(strategy: str, cache: History, rows, settings: Settings) -> Hypotheses:
    return STRATEGIES[strategy](stepper(), cache, rows, settings)


def brute_force(table: np.ndarray, alpha: float, length: int = LENGTH) -> list[tuple[float, tuple[int, ...]]]:
    """Every finished output of one chain with its score, best first."""
    everything = []
    for words in range(length):
        for letters in itertools.product(LETTERS, repeat=words):
            tokens = (*letters, EOS)
            before, last, total = PAD, BOS, 0.0
            for token in tokens:
                total += float(table[before, last, token])
                before, last = last, token
            everything.append((total / ((5 + len(tokens)) / 6) ** alpha, tokens))
    return sorted(everything, reverse=True)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_wide_beam_finds_what_brute_force_finds(alpha):
    table = tables(rows=6, seed=1)
    found = search(table, beams=3 ** (LENGTH - 1) + 13, keep=3, alpha=alpha)
    for row in range(len(table)):
        for place, (score, tokens) in enumerate(brute_force(table[row], alpha)[:3]):
            assert tuple(found.tokens[row, place][: found.lengths[row, place]]) == tokens
            assert found.scores[row, place] == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_beam_1_is_greedy(alpha):
    table = tables(rows=50, seed=2)
    cache = History(jnp.full((50, 1), PAD), jnp.asarray(table))
    settings = Settings(beams=1, keep=1, length=12, length_penalty=alpha)
    greedy = run("greedy", cache, jnp.ones(50, bool), settings)
    beam = run("beam", cache, jnp.ones(50, bool), settings)
    for one, other in zip(greedy, beam, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("beams", [5])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_stopping_by_the_bound_changes_no_kept_hypothesis(alpha, beams):
    """With keep == beams the bound never acts before the row is full: the same search, run to its end."""
    table = tables(rows=60, seed=3, sharpness=2.5)
    whole = search(table, beams=beams, keep=beams, alpha=alpha, length=20)
    for keep in {1, beams - 1}:
        early = search(table, beams=beams, keep=keep, alpha=alpha, length=20)
        for one, other in zip(early, whole, strict=True):
            np.testing.assert_array_equal(one, other[:, :keep])


def test_the_bound_stops_rows_early():
    """Plain sums: once something likely has finished, the other hypotheses can be given up."""
    steps = []
    base = stepper()

    def counting(tokens, cache):
        jax.debug.callback(lambda: steps.append(1))
        return base.step(tokens, cache)

    cache = History(jnp.full((1, 4), PAD), jnp.asarray(tables(rows=1, seed=4).repeat(1, axis=0)))
    table = np.array(cache.table)
    table[..., EOS] = np.log(0.9)
    table[..., 4:] = np.log(0.1 / 3)
    cache = cache._replace(table=jnp.asarray(table))
    beam_search(Stepper(counting, base.reorder), cache, jnp.ones(1, bool), Settings(4, 1, 50, 0.0))
    jax.effects_barrier()
    assert len(steps) == 1


@pytest.mark.parametrize("beams", [1, 4])
def test_neighbours_and_place_change_nothing_in_a_row(beams):
    table = tables(rows=16, seed=5)
    together = search(table, beams=beams, alpha=1.0, length=20)
    order = np.random.default_rng(0).permutation(16)
    shuffled = search(table[order], beams=beams, alpha=1.0, length=20)
    for one, other in zip(together, shuffled, strict=True):
        np.testing.assert_array_equal(one[order], other)
    rows = np.arange(16) % 3 == 0
    alone = search(table, beams=beams, alpha=1.0, length=20, rows=rows)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one[rows], other[rows])


@pytest.mark.parametrize("beams", [1, 4])
def test_rows_that_are_left_out_have_no_finished_hypothesis_and_cost_no_step(beams):
    calls = []
    base = stepper()

    def counting(tokens, cache):
        jax.debug.callback(lambda: calls.append(1))
        return base.step(tokens, cache)

    cache = History(jnp.full((3, beams), PAD), jnp.asarray(tables(rows=3, seed=6)))
    strategy = STRATEGIES["greedy" if beams == 1 else "beam"]
    found = strategy(Stepper(counting, base.reorder), cache, jnp.zeros(3, bool), Settings(beams, 1, 9, 1.0))
    jax.effects_barrier()
    assert not calls
    assert not np.any(found.finished)
    assert not np.any(found.lengths)


@pytest.mark.parametrize("beams", [1, 4])
def test_what_meets_the_length_limit_is_flagged_and_used_only_when_nothing_finished(beams):
    table = tables(rows=2, seed=7)
    table[0, ..., EOS] = NEVER
    found = search(table, beams=beams, keep=beams, alpha=1.0, length=6)
    assert not found.finished[0].any()
    assert (found.lengths[0] == 6).all()
    assert EOS not in found.tokens[0]
    flags = found.finished[1].tolist()
    assert flags == sorted(flags, reverse=True)


@pytest.mark.parametrize("beams", [2, 5])
def test_hypotheses_come_best_first_without_repeats(beams):
    found = search(tables(rows=20, seed=8), beams=beams, keep=beams, alpha=0.6, length=20)
    for row in range(20):
        scores = found.scores[row, found.finished[row]]
        assert (np.diff(scores) <= 0).all()
        assert len({tuple(tokens) for tokens in found.tokens[row]}) == beams


@pytest.mark.parametrize("beams", [1, 4])
def test_special_tokens_that_have_no_probability_are_never_generated(beams):
    found = search(tables(rows=20, seed=9), beams=beams, keep=beams, alpha=1.0, length=20)
    for tokens, length in zip(found.tokens.reshape(-1, 20), found.lengths.reshape(-1), strict=True):
        assert not set(tokens[:length]) & {PAD, UNK, BOS}
        assert (tokens[length:] == PAD).all()


def test_the_length_penalty_is_that_of_wu_et_al_and_counts_eos():
    """By hand: ((5 + 1) / 6) ** a = 1 for EOS alone; ((5 + 7) / 6) ** 0.5 is the root of 2."""
    assert inverse_length_penalties(7, 0.5)[[1, 7]].tolist() == pytest.approx([1.0, 0.5**0.5])


def test_greedy_search_refuses_a_beam():
    with pytest.raises(ValueError, match="greedy search follows 1 hypothesis, and was asked for 4: use beam search"):
        greedy_search(stepper(), None, jnp.ones(1, bool), Settings(4, 1, 9, 1.0))
