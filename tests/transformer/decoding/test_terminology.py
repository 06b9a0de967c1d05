from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD
from tests.support.markov_search import (
    LENGTH,
    VOCABULARY,
    WIDE,
    History,
    brute_force,
    limited,
    plan,
    run,
    stepper,
    tables,
    texts,
)
from transformer.decoding import STRATEGIES, Request, Stepper
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.stepper import NEVER
from transformer.decoding.terminology import UNMET_PENALTY, UNMET_PENALTY_PER_TOKEN

TERMS = [[[5, 0], [0, 0]], [[4, 6], [0, 0]], [[4, 0], [6, 0]], [[0, 0], [0, 0]], [[6, 6], [5, 0]], [[5, 4], [4, 5]]]


def requiring(rows: Request, terms, items=None, places=None) -> Request:
    """The request with terms; without `items`, each is an item of its own."""
    terms = jnp.asarray(terms)
    each = jnp.arange(1, terms.shape[1] + 1)[None] * (terms[:, :, 0] != PAD)
    blank = jnp.zeros((*terms.shape[:2], 0), bool)
    return rows._replace(
        terms=terms,
        items=each if items is None else jnp.asarray(items),
        places=blank if places is None else jnp.asarray(places),
    )


def contains(tokens: tuple[int, ...], term: list[int], joins: tuple[int, ...] = ()) -> bool:
    wanted = tuple(token for token in term if token)
    return any(
        tokens[n : n + len(wanted)] == wanted and tokens[n + len(wanted) :][:1] not in [(join,) for join in joins]
        for n in range(len(tokens))
    )


def lacking(tokens: tuple[int, ...], terms: list[list[int]], joins: tuple[int, ...] = ()) -> list[list[int]]:
    return [term for term in terms if term[0] and not contains(tokens, term, joins)]


def goes_on_after_its_end(table: np.ndarray, tokens: tuple[int, ...], terms: list[list[int]]) -> bool:
    """Whether the model would have ended an output before all terms were there, and no term was being written."""
    before, last = PAD, BOS
    for n, token in enumerate(tokens[:-1]):
        missing = lacking(tokens[:n], terms)
        is_writing = any(tokens[n - 1 : n] == (term[0],) and token == term[1] for term in missing)
        if missing and table[before, last].argmax() == EOS and not is_writing:
            return True
        before, last = last, token
    return False


def test_terminology_search_finds_the_best_output_with_the_penalty_of_missing_terms():
    """With all hypotheses kept; the penalty is low enough here for some outputs to lack a term."""
    table = tables(rows=60, seed=13, sharpness=6.0)
    terms = (TERMS * 10)[:60]
    found = run("terminology", table, requiring(limited(jnp.full(60, LENGTH)), terms), plan(WIDE, 1, LENGTH))
    kinds = set()
    for row in range(60):
        scores = {}
        for score, tokens in brute_force(table[row], 1.0):
            if not goes_on_after_its_end(table[row], tokens, terms[row]):
                missing = lacking(tokens[:-1], terms[row])
                penalty = sum(
                    UNMET_PENALTY + UNMET_PENALTY_PER_TOKEN * (np.count_nonzero(term) - 1) for term in missing
                )
                scores[tokens] = score - penalty / ((5 + len(tokens)) / 6)
        best = max(scores, key=scores.__getitem__)
        assert texts(found, row) == [best]
        assert found.scores[row, 0] == pytest.approx(scores[best], abs=1e-4)
        kinds.add(bool(lacking(best, terms[row])))
    assert kinds == {True, False}


@pytest.mark.parametrize("beams", [3, 5])
def test_a_term_stands_in_the_output_of_any_beam_where_the_model_does_not_end_before(beams):
    table = tables(rows=60, seed=14)
    table[..., EOS] = -6.0
    terms = (TERMS[:5] * 12)[:60]  # not the last, whose two terms overlap
    found = run("terminology", table, requiring(limited(jnp.full(60, 12)), terms), plan(beams, 1, 12))
    for row in range(60):
        assert found.finished[row, 0]
        assert not lacking(texts(found, row)[0][:-1], terms[row])


def test_one_of_several_forms_of_a_term_will_do():
    table = tables(rows=20, seed=19)
    table[..., EOS] = -6.0
    terms = [[[4, 5], [6, 6]]] * 20
    both = requiring(limited(jnp.full(20, 12)), terms)
    either = requiring(limited(jnp.full(20, 12)), terms, items=[[1, 1]] * 20)
    of_all = plan(5, 1, 12)
    found = [[texts(run("terminology", table, rows, of_all), row)[0] for row in range(20)] for rows in (both, either)]
    counts = [[len(lacking(tokens[:-1], terms[0])) for tokens in one] for one in found]
    assert np.mean(counts[0]) < 0.2
    assert max(counts[1]) == 1
    assert np.mean(counts[1]) > 0.5


def test_a_term_does_not_end_inside_a_word():
    """After 4, the likeliest token is 5, which continues a word: the term 4 is written before something else."""
    table = tables(rows=20, seed=20)
    table[..., EOS] = -6.0
    table[:, :, 4, 5] = -0.01
    rows = requiring(limited(jnp.full(20, 12)), [[[4]]] * 20)
    found = run("terminology", table, rows, replace(plan(5, 1, 12), joins=(5,)))
    for row in range(20):
        assert not lacking(texts(found, row)[0][:-1], [[4]], joins=(5,))


def test_nothing_follows_the_end_for_the_sake_of_a_term():
    """The model writes 5 6 and then EOS with probability 0.9; the unlikely term 4 may not follow it, but precede it."""
    table = np.full((1, VOCABULARY, VOCABULARY, VOCABULARY), NEVER, np.float32)
    table[..., [4, 5, 6, EOS]] = np.log([1e-4, 0.8, 0.1, 0.05])
    table[:, :, 5, [4, 5, 6, EOS]] = np.log([1e-4, 0.1, 0.8, 0.05])
    table[:, :, 6, [4, 5, 6, EOS]] = np.log([1e-2, 0.03, 0.03, 0.9])
    rows = requiring(limited(jnp.full(1, 12)), [[[4]]])
    found = run("terminology", table, rows, plan(4, 4, 12))
    assert all(6 not in tokens[: tokens.index(4)] for tokens in texts(found, 0))


def test_a_term_begins_where_the_model_attends_to_its_source():
    """All places are equally likely; the model attends to the source token that has the number of the step."""
    table = np.full((1, VOCABULARY, VOCABULARY, VOCABULARY), NEVER, np.float32)
    table[..., [4, 5, EOS]] = np.log([0.1, 0.8, 0.1])
    inside = stepper()

    def step(tokens, positions, cache):
        log_probabilities, history = inside.step(tokens, positions, cache[0])
        attention = jnp.broadcast_to(jnp.eye(6)[positions][:, None], (*tokens.shape, 6))
        return log_probabilities, (history, attention)

    attending = Stepper(
        step, lambda cache, parents: (inside.reorder(cache[0], parents), cache[1]), attention=lambda cache: cache[1]
    )
    of_all = plan(4, 1, 6, length_penalty=0.0)
    for place in range(4):
        rows = requiring(limited(jnp.full(1, 6)), [[[4]]], places=np.eye(6, dtype=bool)[None, place : place + 1])
        rows = rows._replace(minimum=jnp.full(1, 5))
        cache = (History(jnp.full((1, 4), PAD), jnp.asarray(table)), jnp.zeros((1, 4, 6)))
        found = STRATEGIES["terminology"](with_rules(attending, of_all), ruled_cache(cache, rows, of_all), rows, of_all)
        expected = [5] * 5
        expected[place] = 4
        assert texts(found, 0) == [(*expected, EOS)]
        assert found.scores[0, 0] == found.log_probabilities[0, 0] == pytest.approx(np.log(0.1 * 0.8**4 * 0.1))
