"""Search against brute force on small random Markov tables, and relations between searches."""

import dataclasses
import functools
import itertools
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD, UNK
from transformer.config import DecodingConfig
from transformer.decoding import STRATEGIES, Hypotheses, Request, SearchPlan, Stepper
from transformer.decoding.beam import beam_search
from transformer.decoding.greedy import greedy_search
from transformer.decoding.largest import largest
from transformer.decoding.request import TermRequest, make_request, stack
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.scores import inverse_length_penalties
from transformer.decoding.spelling import STATES
from transformer.decoding.stepper import NEVER
from transformer.decoding.terminology import UNMET, UNMET_MORE

LETTERS = range(4, 7)
VOCABULARY = 7
LENGTH = 4
ALPHAS = [0.0, 0.6, 1.0, 1.7]


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


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("penalty", ["gnmt", "power"])
def test_a_wide_beam_finds_what_brute_force_finds(alpha, penalty):
    table = tables(rows=6, seed=1)
    of_all = plan(WIDE, 3, LENGTH, length_penalty=alpha, penalty=penalty)
    found = run("beam", table, limited(jnp.full(6, LENGTH)), of_all)
    for row in range(len(table)):
        expected = brute_force(table[row], alpha, penalty=penalty)[:3]
        assert texts(found, row) == [tokens for _, tokens in expected]
        np.testing.assert_allclose(found.scores[row], [score for score, _ in expected], atol=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_beam_1_is_greedy(alpha):
    table = tables(rows=50, seed=2)
    rows = limited(jnp.full(50, 12))
    of_all = plan(1, 1, 12, length_penalty=alpha)
    greedy, beam = run("greedy", table, rows, of_all), run("beam", table, rows, of_all)
    for one, other in zip(greedy, beam, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("beams", [5])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_stopping_by_the_bound_changes_no_kept_hypothesis(alpha, beams):
    """With keep == beams the bound never stops a row before it is full, so this is the same search run to its end."""
    table = tables(rows=60, seed=3, sharpness=2.5)
    whole = search(table, beams=beams, keep=beams, alpha=alpha, length=20)
    for keep in {1, beams - 1}:
        early = search(table, beams=beams, keep=keep, alpha=alpha, length=20)
        for one, other in zip(early, whole, strict=True):
            np.testing.assert_array_equal(one, other[:, :keep])


def test_the_bound_stops_rows_early():
    """With plain sums, the others can be dropped once a likely hypothesis has finished."""
    steps = []
    base = stepper()

    def counting(tokens, position, cache):
        jax.debug.callback(lambda: steps.append(1))
        return base.step(tokens, position, cache)

    cache = History(jnp.full((1, 4), PAD), jnp.asarray(tables(rows=1, seed=4).repeat(1, axis=0)))
    table = np.array(cache.table)
    table[..., EOS] = np.log(0.9)
    table[..., 4:] = np.log(0.1 / 3)
    cache = cache._replace(table=jnp.asarray(table))
    beam_search(Stepper(counting, base.reorder), cache, limited(jnp.full(1, 50)), plan(4, 1, 50, length_penalty=0.0))
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

    def counting(tokens, position, cache):
        jax.debug.callback(lambda: calls.append(1))
        return base.step(tokens, position, cache)

    cache = History(jnp.full((3, beams), PAD), jnp.asarray(tables(rows=3, seed=6)))
    strategy = STRATEGIES["greedy" if beams == 1 else "beam"]
    found = strategy(Stepper(counting, base.reorder), cache, limited(jnp.zeros(3, int)), plan(beams, 1, 9))
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


def test_the_gnmt_length_penalty_is_that_of_wu_et_al_and_counts_eos():
    """Worked out on paper: ((5 + 1) / 6) ** a = 1 for EOS alone; ((5 + 7) / 6) ** 0.5 is the root of 2."""
    assert inverse_length_penalties(plan(1, 1, 7, length_penalty=0.5))[[1, 7]].tolist() == pytest.approx(
        [1.0, 0.5**0.5]
    )


def test_greedy_search_refuses_a_beam():
    with pytest.raises(ValueError, match="greedy search follows 1 hypothesis, and was asked for 4: use beam search"):
        greedy_search(stepper(), None, limited(jnp.full(1, 9)), plan(4, 1, 9))


# --- slots, stages and the largest of many ---------------------------------------------------------------


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


@pytest.mark.parametrize("size", [7, 64, 100, 1000])
def test_the_largest_values_are_those_of_a_full_sort_ties_included(size):
    values = np.random.default_rng(size).integers(0, 50, (5, 3, size)).astype(np.float32)
    values[0] = NEVER
    best, indices = largest(jnp.asarray(values), 8)
    expected, where = jax.lax.top_k(jnp.asarray(values.reshape(5, -1)), 8)
    np.testing.assert_array_equal(best, expected)
    np.testing.assert_array_equal(indices, where)


def test_patience_continues_a_row_until_more_hypotheses_have_finished():
    table = tables(rows=40, seed=12)
    rows = limited(jnp.full(40, 20))
    scores = [run("beam", table, rows, plan(3, 1, 20, patience=patience)).scores for patience in (0.3, 1.0, 4.0)]
    assert (scores[0] <= scores[1]).all()
    assert (scores[1] <= scores[2]).all()
    assert (scores[0] < scores[1]).any()
    assert (scores[1] < scores[2]).any()


# --- rules: brute force over what they allow -------------------------------------------------------------


def check_against_brute_force(strategy: str, rows: Request, plan: SearchPlan, allows) -> None:
    table = tables(rows=len(rows.limit), seed=13)
    found = run(strategy, table, rows, plan)
    for row in range(len(table)):
        expected = [(score, tokens) for score, tokens in brute_force(table[row], 1.0) if allows(row, tokens)]
        assert texts(found, row)[:1] == [tokens for _, tokens in expected[:1]]
        assert found.scores[row, 0] == pytest.approx(expected[0][0], abs=1e-5)


def test_limits_and_minimums_of_rows_are_kept():
    rows = limited(jnp.asarray([4, 3, 2, 4]))._replace(minimum=jnp.asarray([3, 1, 1, 0]))
    limits, minimums = [4, 3, 2, 4], [3, 1, 1, 0]
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH), lambda row, t: minimums[row] < len(t) <= limits[row])


def test_an_output_begins_with_the_prefix_of_its_row():
    prefixes = [[5, 0, 0, 0], [0, 0, 0, 0], [6, 6, 0, 0], [4, 5, 6, 0]]
    rows = limited(jnp.full(4, LENGTH))._replace(prefix=jnp.asarray(prefixes))
    wanted = [tuple(token for token in prefix if token) for prefix in prefixes]
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH), lambda row, t: t[: len(wanted[row])] == wanted[row])


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


@pytest.mark.parametrize("size", [1, 2])
def test_no_run_of_tokens_is_repeated(size):
    def allows(row, tokens):
        runs = [tokens[n : n + size] for n in range(len(tokens) - size + 1)]
        return len(tokens) > 3 and len(runs) == len(set(runs))

    rows = limited(jnp.full(8, LENGTH))._replace(minimum=jnp.full(8, 3))
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH, unrepeated=size), allows)


def test_banned_sequences_are_never_written():
    banned = ((4,), (5, 6), (6, 6, 5))

    def allows(row, tokens):
        is_banned = any(tokens[n : n + len(one)] == one for one in banned for n in range(len(tokens)))
        return len(tokens) > 2 and not is_banned

    rows = limited(jnp.full(8, LENGTH))._replace(minimum=jnp.full(8, 2))
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH, banned=banned), allows)


def test_a_repetition_penalty_multiplies_the_log_probabilities_of_written_tokens():
    table = np.log(np.full((1, VOCABULARY, VOCABULARY, VOCABULARY), 0.3, np.float32))
    table[..., [PAD, UNK, BOS, EOS]] = NEVER
    table[..., 4] = np.log(0.4)
    found = run("greedy", table, limited(jnp.full(1, 4)), plan(1, 1, 4, length_penalty=0.0, repetition_penalty=2.0))
    assert texts(found, 0) == [(4, 5, 6, 4)]
    assert found.scores[0, 0] == pytest.approx(np.log(0.4) + 2 * np.log(0.3) + 2 * np.log(0.4), abs=1e-5)


# --- terminology -----------------------------------------------------------------------------------------

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


def test_terminology_search_finds_the_best_output_where_lacking_a_term_has_its_price():
    """With all hypotheses kept; the price is low enough here for some outputs to lack a term."""
    table = tables(rows=60, seed=13, sharpness=6.0)
    terms = (TERMS * 10)[:60]
    found = run("terminology", table, requiring(limited(jnp.full(60, LENGTH)), terms), plan(WIDE, 1, LENGTH))
    kinds = set()
    for row in range(60):
        scores = {}
        for score, tokens in brute_force(table[row], 1.0):
            if not goes_on_after_its_end(table[row], tokens, terms[row]):
                missing = lacking(tokens[:-1], terms[row])
                price = sum(UNMET + UNMET_MORE * (np.count_nonzero(term) - 1) for term in missing)
                scores[tokens] = score - price / ((5 + len(tokens)) / 6)
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


# --- diverse beam search ---------------------------------------------------------------------------------


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


# --- sampling --------------------------------------------------------------------------------------------


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


# --- requests and plans ----------------------------------------------------------------------------------


def test_a_length_limit_is_that_of_the_sentences_own_length():
    """By hand, for sources of 3 and 10 tokens, EOS counted: 2 * 3 + 1 = 7 and 2 * 10 + 1 = 21, of which 20 fit."""
    decoding = DecodingConfig(maximum_ratio=2.0, maximum_extra=1, minimum_ratio=1.0, minimum_length=4)
    of_bucket = SearchPlan(decoding, maximum_length=20, bucket=16)
    requests = [make_request(of_bucket, [5] * 2 + [EOS]), make_request(of_bucket, [5] * 9 + [EOS])]
    stacked = stack(requests, of_bucket, rows=3)
    assert stacked.limit.tolist() == [7, 20, 0]
    assert stacked.minimum.tolist() == [6, 13, 0]
    assert stacked.source.shape == (3, 16)
    assert of_bucket.stages == (16, 20)


def test_the_parts_of_a_line_have_different_keys_and_the_first_that_of_the_line():
    of_all = SearchPlan(DecodingConfig(seed=7), maximum_length=20)
    keys = [tuple(make_request(of_all, [5, EOS], line=line, part=part).key) for line in (1, 2) for part in range(3)]
    assert (keys[0], keys[3]) == ((7, 1), (7, 2))
    assert len(set(keys)) == 6


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"prefix": [5]}, "no room for a prefix"),
        ({"terms": [TermRequest([[5, 6]])]}, "no room for 1 terms of up to 2 tokens"),
    ],
)
def test_requests_beyond_the_capacities_of_the_plan_are_rejected(wish, message):
    with pytest.raises(ValueError, match=message):
        make_request(SearchPlan(DecodingConfig(), maximum_length=20), [7, EOS], **wish)
