"""Searches of small random Markov tables, and the best outputs by brute force."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD, UNK
from transformer.config import DecodingConfig
from transformer.decoding import STRATEGIES, Hypotheses, Request, SearchPlan, Stepper
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.stepper import NEVER

LETTERS = range(4, 7)
VOCABULARY = 7
LENGTH = 4


class History(NamedTuple):
    """A cache that must be reordered: the token before the last one, and the row's table."""

    before: jax.Array  # [B, K]
    table: jax.Array  # [B, V, V, V]: log-probability of a token after two others


def stepper() -> Stepper:
    def step(tokens, position, cache):
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


def plan(beam: int, keep: int, length: int, *, bucket: int = 0, banned=(), **knobs) -> SearchPlan:
    """A plan for outputs of up to `length` tokens, with a stage at the bucket, that steps all rows together."""
    knobs = {"rows": 64, "maximum_ratio": 0.0, "maximum_extra": length, **knobs}
    decoding = DecodingConfig(beam=beam).model_copy(update=knobs)
    return SearchPlan(decoding, maximum_length=length, keep=keep, banned=banned, bucket=bucket)


def limited(limits) -> Request:
    """A length limit for each row, and nothing else."""
    limits = jnp.asarray(limits)
    none = jnp.zeros((len(limits), 0), jnp.int32)
    return Request(
        source=none,
        limit=limits,
        minimum=jnp.zeros_like(limits),
        prefix=none,
        terms=none[:, :, None],
        key=jnp.zeros((len(limits), 2), jnp.uint32),
        items=none,
        places=jnp.zeros((len(limits), 0, 0), bool),
        ranges=jnp.zeros((len(limits), 0, 2), jnp.int32),
        steps=none[:, :, None],
    )


def search(
    table: np.ndarray, *, beams: int, alpha: float, keep: int = 1, length: int = LENGTH, rows=None
) -> Hypotheses:
    limits = length * jnp.asarray(np.ones(len(table), bool) if rows is None else rows)
    strategy = "greedy" if beams == 1 else "beam"
    return run(strategy, table, limited(limits), plan(beams, keep, length, length_penalty=alpha))


def run(strategy: str, table: np.ndarray, request: Request, plan: SearchPlan) -> Hypotheses:
    cache = History(jnp.full((len(table), plan.decoding.beam), PAD), jnp.asarray(table))
    return jax.tree.map(np.asarray, compiled(strategy, cache, request, plan))


@functools.partial(jax.jit, static_argnames=("strategy", "plan"))
def compiled(strategy: str, cache: History, request: Request, plan: SearchPlan) -> Hypotheses:
    ruled = with_rules(stepper(), plan)
    return STRATEGIES[strategy](ruled, ruled_cache(cache, request, plan), request, plan)


def brute_force(
    table: np.ndarray, alpha: float, length: int = LENGTH, penalty: str = "gnmt"
) -> list[tuple[float, tuple[int, ...]]]:
    """Every finished output of one chain with its score, best first."""
    everything = []
    for words in range(length):
        for letters in itertools.product(LETTERS, repeat=words):
            tokens = (*letters, EOS)
            before, last, total = PAD, BOS, 0.0
            for token in tokens:
                total += float(table[before, last, token])
                before, last = last, token
            base = (5 + len(tokens)) / 6 if penalty == "gnmt" else len(tokens)
            everything.append((total / base**alpha, tokens))
    return sorted(everything, reverse=True)


WIDE = 3 ** (LENGTH - 1) + 13  # a beam that loses nothing


def texts(found: Hypotheses, row: int) -> list[tuple[int, ...]]:
    """The hypotheses of a row as tokens."""
    rows = zip(found.tokens[row], found.lengths[row], strict=True)
    return [tuple(tokens[:length].tolist()) for tokens, length in rows if length]


def check_against_brute_force(strategy: str, rows: Request, plan: SearchPlan, allows) -> None:
    table = tables(rows=len(rows.limit), seed=13)
    found = run(strategy, table, rows, plan)
    for row in range(len(table)):
        expected = [(score, tokens) for score, tokens in brute_force(table[row], 1.0) if allows(row, tokens)]
        assert texts(found, row)[:1] == [tokens for _, tokens in expected[:1]]
        assert found.scores[row, 0] == pytest.approx(expected[0][0], abs=1e-5)
