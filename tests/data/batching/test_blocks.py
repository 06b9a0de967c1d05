"""The stream of training batches: what it draws, and that it continues exactly from any position."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from data.batch import Pair
from data.batching.order import Draws, Order
from data.batching.packing import Share, batch_shapes
from data.errors import InputError
from data.tokens.workers import Workers
from tests.support import plain_batching
from tests.support.paths import ROOT
from tests.support.toy_batches import SAMPLED, config_of, digest, expected_pairs, pairs_of, setup, stream

PROGRAM = """
import json, sys
from tests.support.toy_batches import config_of, digest, setup, stream
config = config_of(**json.loads(sys.argv[1]))
iterator = iter(stream(*setup(config)))
iterator.set_state(json.loads(sys.argv[2]))
print(json.dumps([digest(next(iterator)) for _ in range(5)]))
iterator.close()
"""


VARIANTS = [{"batching": "bucketed"}, {"batching": "packed"}, {"batching": "packed", "subword_sampling": 0.3}]


@pytest.mark.parametrize("knobs", VARIANTS)
def test_a_saved_position_is_exact_after_every_batch(knobs):
    dataset = stream(*setup(config_of(**knobs)))
    iterator = iter(dataset)
    states, batches = [], []
    for _ in range(18):
        states.append(json.loads(json.dumps(iterator.get_state())))
        batches.append(digest(next(iterator)))
    assert len({state["block"] for state in states}) > 2
    for place in range(15):
        iterator.set_state(states[place])
        assert [digest(next(iterator)) for _ in range(3)] == batches[place : place + 3]
    iterator.close()


def test_a_new_process_continues_from_a_saved_position():
    knobs = {"batching": "bucketed", "subword_sampling": 0.3}
    iterator = iter(stream(*setup(config_of(**knobs))))
    for _ in range(13):
        next(iterator)
    state = iterator.get_state()
    program = [sys.executable, "-c", PROGRAM, json.dumps(knobs), json.dumps(state)]
    run = subprocess.run(program, capture_output=True, check=True, text=True, cwd=ROOT)
    assert json.loads(run.stdout) == [digest(next(iterator)) for _ in range(5)]
    iterator.close()


@pytest.mark.parametrize("knobs", [{"batching": "bucketed"}, {"batching": "packed"}])
def test_every_pair_comes_once_an_epoch_and_the_rest_is_carried(knobs):
    corpora, tokenizer, config = setup(config_of(**knobs))
    iterator = iter(stream(corpora, tokenizer, config))
    seen = Counter()
    while iterator.get_state()["block"] < 9:
        seen.update(pairs_of(next(iterator)))
    iterator.close()
    order = Order(corpora, config, seed=1)
    drawn = [pair for block in range(9) for pair in order.draws(block).pairs.tolist()]
    assert sorted(drawn[:150]) == list(range(150)) == sorted(drawn[150:300])
    assert drawn[:150] != drawn[150:300]
    expected = expected_pairs(corpora, tokenizer)
    assert all(abs(seen[pair] - 3 * expected[pair]) <= 2 * expected[pair] for pair in expected)
    assert seen.keys() <= expected.keys()


@pytest.mark.parametrize("batching", ["bucketed", "packed"])
def test_what_blocks_emit_and_carry_is_what_they_draw(batching):
    corpora, tokenizer, config = setup(config_of(batching=batching))
    engine = stream(corpora, tokenizer, config)._parent
    workers = Workers(engine.redraw, 0)
    carried = Draws.of([])
    for number in range(6):
        fresh = engine.fresh(number, workers)
        block = engine.block(number, engine.request(carried, workers), fresh)
        pairs = carried.followed_by(fresh.draws).pairs
        emitted = [pair for _, rows in block.batches for pair in pairs[rows.values].tolist()]
        drawn = carried.followed_by(engine.order.draws(number))
        assert Counter(emitted + block.carried.pairs.tolist()) == Counter(drawn.pairs.tolist())
        assert set(block.carried.listed()) <= set(drawn.listed())
        carried = block.carried


PLAIN = {
    "packed": {"batching": "packed"},
    "bucketed": {"batching": "bucketed"},
    "sampled": {"batching": "bucketed", "subword_sampling": 0.3, "toy_symbols": 3, "vocabulary_size": 11},
    "unigram": {"subword_sampling": 0.5, "subword_model": "unigram", "toy_symbols": 3, "vocabulary_size": 8},
    "filtered": {"batching": "packed", "maximum_tokens": 9, "drop_duplicates": True, "toy_length": 5},
    "unbalanced": {"batching": "bucketed", "maximum_side_ratio": 1.5},
    "weighted": {"batching": "packed", "drop_duplicates": True},
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", PLAIN)
def test_batches_and_positions_are_those_of_the_plain_stream(name, seed):
    corpora, tokenizer, config = setup(config_of(**PLAIN[name]))
    (corpus,) = corpora
    longer = [Pair(pair.source, pair.target + " a a" * (n % 3)) for n, pair in enumerate(corpus.pairs)]
    corpora = [corpus._replace(pairs=longer)]
    if name == "weighted":
        corpus = corpora[0]
        parts = [corpus.pairs[:20], corpus.pairs[10:149], corpus.pairs[149:]]
        weights = (3.0, 1.0, 0.1)
        corpora = [corpus._replace(pairs=part, weight=weight) for part, weight in zip(parts, weights, strict=True)]
    share = Share(seed - 1, 2, 4)
    rows_of = {length: rows for rows, length, _ in batch_shapes(config, batch_tokens=192)}
    plain = plain_batching.PlainBatches(corpora, tokenizer, config, rows_of=rows_of, seed=seed, share=share)
    iterator = iter(stream(corpora, tokenizer, config, seed=seed, share=share))
    while plain.number < 4:
        assert digest(next(iterator)) == digest(next(plain))
        state = json.loads(json.dumps(iterator.get_state()))
        del state["signature"]
        assert state == plain.state
    iterator.close()


@pytest.mark.parametrize(
    ("knobs", "options", "message"),
    [
        ({}, {"seed": 2}, r"different seed \(seed: saved 1, now 2\)"),
        ({"batching": "bucketed"}, {}, r"different batching, rows"),
        ({"toy_pairs": 151}, {}, r"different corpora"),
        ({"maximum_tokens": 12}, {}, r"different maximum_tokens \(maximum_tokens: saved 16, now 12\)"),
        ({}, {"batch_tokens": 640}, r"different rows"),
        ({"subword_model": "unigram"}, {}, "different tokenizer"),
    ],
)
def test_a_position_in_other_data_is_rejected(knobs, options, message):
    iterator = iter(stream(*setup(config_of())))
    next(iterator)
    state = iterator.get_state()
    iterator.close()
    other = iter(stream(*setup(config_of(**knobs)), **options))
    with pytest.raises(InputError, match=message):
        other.set_state(state)
    other.close()


def test_a_position_among_subword_samples_that_were_drawn_otherwise_is_rejected():
    config = config_of(**SAMPLED, workers=0)
    dataset = stream(*setup(config))
    iterator = iter(dataset)
    next(iterator)
    state = iterator.get_state()
    former = {**state, "signature": {k: v for k, v in state["signature"].items() if k != "subword_draws"}}
    with pytest.raises(InputError, match=r"draws subword samples .* differently from .*: resume with"):
        iterator.set_state(former)
    iterator.set_state(state)
    iterator.close()
    assert "subword_draws" not in stream(*setup(config_of()))._parent.signature
