import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD
from tests.support.markov_search import VOCABULARY, limited, plan, run, tables
from transformer.decoding import Hypotheses
from transformer.decoding.stepper import NEVER


def sampled(table: np.ndarray, **options) -> Hypotheses:
    keys = np.stack([np.full(len(table), 7), np.arange(len(table))], axis=1).astype(np.uint32)
    rows = limited(jnp.full(len(table), 12))._replace(key=keys)
    return run("sampling", table, rows, plan(32, 32, 12, length_penalty=0.0, **options))


def test_samples_have_the_frequencies_of_their_probabilities():
    """The first tokens of 300 x 32 samples of one chain against its table: within 4 standard errors."""
    table = tables(rows=1, seed=16).repeat(300, axis=0)
    found = sampled(table)
    firsts = np.bincount(found.tokens[:, :, 0].ravel(), minlength=VOCABULARY) / 9600
    expected = np.exp(table[0, PAD, BOS])
    assert (np.abs(firsts - expected) <= 4 * np.sqrt(expected * (1 - expected) / 9600) + 1e-9).all()
    assert len({tuple(row) for row in found.tokens.reshape(-1, 12)}) > 30


def test_the_samples_of_a_line_do_not_depend_on_the_batch():
    table = tables(rows=8, seed=17)
    keys = np.stack([np.full(8, 7), np.arange(8)], axis=1).astype(np.uint32)
    rows = limited(jnp.full(8, 12))._replace(key=keys)
    whole = run("sampling", table, rows, plan(4, 4, 12))
    order = [5, 2, 7]
    part = run("sampling", table[order], jax.tree.map(lambda x: x[np.array(order)], rows), plan(4, 4, 12))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[order], other)


def test_scores_of_samples_are_the_models_log_probabilities():
    table = tables(rows=5, seed=18)
    found = sampled(table, temperature=0.5, top_k=2)
    for row in range(5):
        for rank in np.flatnonzero(found.finished[row]):
            before, last, total = PAD, BOS, 0.0
            for token in found.tokens[row, rank][: found.lengths[row, rank]]:
                total += float(table[row, before, last, token])
                before, last = last, token
            assert found.log_probabilities[row, rank] == pytest.approx(total, abs=1e-4)
    assert (np.diff(found.scores, axis=1) <= 0)[found.finished[:, 1:]].all()


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"top_k": 1}, {4}),
        ({"top_k": 2}, {4, 5}),
        ({"top_p": 0.45}, {4}),
        ({"top_p": 0.6}, {4, 5}),
        ({"top_p": 0.85}, {4, 5, 6}),
        ({"top_k": 3, "top_p": 0.6}, {4, 5}),
        ({"temperature": 0.01}, {4}),
    ],
)
def test_cuts_keep_the_likeliest_tokens(options, allowed):
    """Probabilities 0.5, 0.3, 0.15, 0.05 of tokens 4, 5, 6 and EOS."""
    table = np.full((20, VOCABULARY, VOCABULARY, VOCABULARY), NEVER, np.float32)
    table[..., [4, 5, 6, EOS]] = np.log([0.5, 0.3, 0.15, 0.05])
    assert set(sampled(table, **options).tokens[..., 0].ravel().tolist()) == allowed
