import json
import random
import subprocess
import sys
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from data.batch import EOS, Pair
from data.batching import blocks
from data.batching.description import describe
from data.batching.order import Draws, Order
from data.batching.packing import Share, batch_shapes
from data.batching.pipeline import evaluation_batches, training_batches
from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from data.storage.cache import Cache
from data.tokens.ragged import join
from data.tokens.redraw import ToDraw, derive_seed
from data.tokens.workers import Workers
from data.vocabulary.tokenizer import learn_tokenizer
from tests.support import plain_batching
from tests.support.paths import ROOT

KNOBS = {
    "corpus": "toy",
    "toy_pairs": 150,
    "vocabulary_size": 57,
    "byte_fallback": False,
    "maximum_tokens": 16,
    "row_length": 16,
    "shuffle_block": 55,
}
PROGRAM = """
import json, sys
from tests.data.batching.test_pipeline import config_of, digest, setup, stream
config = config_of(**json.loads(sys.argv[1]))
iterator = iter(stream(*setup(config)))
iterator.set_state(json.loads(sys.argv[2]))
print(json.dumps([digest(next(iterator)) for _ in range(5)]))
iterator.close()
"""


def config_of(**knobs):
    return DataConfig(**{**KNOBS, **knobs})


def setup(config):
    corpora = load_corpora(config, "train")
    return corpora, learn_tokenizer(config, corpora), config


def stream(corpora, tokenizer, config, **knobs):
    return training_batches(corpora, tokenizer, config, **{"batch_tokens": 192, "seed": 1, **knobs})


def take(dataset, count, state=None):
    iterator = iter(dataset)
    if state:
        iterator.set_state(state)
    batches = [next(iterator) for _ in range(count)]
    iterator.close()
    return batches


def pairs_of(batch):
    """The pairs in a batch, as ids."""
    rows = [
        (n, segment) for n in range(len(batch.source)) for segment in range(1, int(batch.source_segments[n].max()) + 1)
    ]
    return [
        (
            tuple(batch.source[n][batch.source_segments[n] == segment].tolist()),
            tuple(batch.target_labels[n][batch.target_segments[n] == segment].tolist()),
        )
        for n, segment in rows
    ]


def digest(batch):
    return [array.tolist() for array in batch]


def expected_pairs(corpora, tokenizer):
    sources = tokenizer.encode_source([pair.source for corpus in corpora for pair in corpus.pairs])
    targets = tokenizer.encode_target([pair.target for corpus in corpora for pair in corpus.pairs])
    return Counter((tuple(source), (*target, EOS)) for source, target in zip(sources, targets, strict=True))


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


SAMPLED = {"batching": "packed", "subword_sampling": 0.3, "toy_symbols": 3, "vocabulary_size": 11}


def test_workers_change_no_batch_and_a_run_resumes_with_others_and_a_cleared_cache(tmp_path):
    config = config_of(**SAMPLED, workers=0, cache=str(tmp_path))
    corpora, tokenizer, _ = setup(config)
    iterator = iter(stream(corpora, tokenizer, config))
    batches, states = [], []
    while not states or states[-1]["block"] < 5:
        states.append(json.loads(json.dumps(iterator.get_state())))
        batches.append(digest(next(iterator)))
    iterator.close()
    for workers, place in ((1, 0), (3, len(batches) // 2)):
        Cache(tmp_path).clear()
        config = config_of(**SAMPLED, workers=workers, cache=str(tmp_path))
        found = take(stream(corpora, tokenizer, config), len(batches) - place, states[place])
        assert list(map(digest, found)) == batches[place:]


@pytest.mark.parametrize("rates", [{"augment_joined": 0.5}, {"augment_typos": 0.5}], ids=str)
def test_workers_change_no_disturbed_batch(monkeypatch, rates):
    """In parts of at most 16 draws."""
    monkeypatch.setattr(blocks, "CHUNK", 16)
    found = [
        list(map(digest, take(stream(*setup(config_of(workers=workers, **rates))), 5))) for workers in (0, 1, 2, 3)
    ]
    assert all(one == found[0] for one in found)


def reversed_words(pairs, generators):
    """Changed texts: in half of the pairs, the words of the source are reversed."""
    both = zip(pairs, generators, strict=True)
    return [pair._replace(source=pair.source[::-1]) if one.random() < 0.5 else pair for pair, one in both]


@pytest.mark.parametrize("workers", [0, 2])
def test_changed_texts_are_tokenised_with_the_seed_of_their_draw(workers):
    corpora, tokenizer, config = setup(config_of(workers=workers))
    engine = stream(corpora, tokenizer, config)._parent
    engine.redraw.change = reversed_words
    assert engine.workers == workers
    draws = engine.order.draws(0).followed_by(engine.order.draws(4))
    with closing(Workers(engine.redraw, workers)) as processes:
        requested = engine.request(draws, processes)
        sources = join([part.result() for part in requested.tokens]).source.lists()
    texts = engine.order.read(draws.pairs.tolist())
    seeds = [derive_seed(1, epoch, pair, 2) for epoch, pair in draws.listed()]
    changed = reversed_words(texts, [random.Random(seed) for seed in seeds])
    assert sources == tokenizer.encode_plain("source", [pair.source for pair in changed])
    assert changed != texts


def test_an_augmented_stream_is_another_one_and_resumes_exactly(tmp_path):
    plain, disturbed = (
        config_of(toy_task="copy", workers=0, cache=str(tmp_path), **rates)
        for rates in ({}, {"augment_joined": 0.5, "augment_typos": 0.3})
    )
    corpora, tokenizer, _ = setup(plain)
    found = take(stream(corpora, tokenizer, disturbed), 6)
    assert list(map(digest, found)) != list(map(digest, take(stream(corpora, tokenizer, plain), 6)))
    iterator = iter(stream(corpora, tokenizer, disturbed))
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    iterator.close()
    assert list(map(digest, take(stream(corpora, tokenizer, disturbed), 3, state))) == list(map(digest, found[3:]))


def test_batches_have_the_announced_shapes_and_order_follows_the_seed():
    corpora, tokenizer, config = setup(config_of())
    dataset = stream(corpora, tokenizer, config)
    shapes = {(rows, length) for rows, length, _ in batch_shapes(config, batch_tokens=192)}
    batches = take(dataset, 20)
    assert {batch.source.shape for batch in batches} <= shapes
    assert {batch.target_inputs.shape for batch in batches} <= shapes
    assert list(map(digest, batches)) == list(map(digest, take(dataset, 20)))
    other = take(stream(corpora, tokenizer, config, seed=2), 20)
    assert list(map(digest, batches)) != list(map(digest, other))


@pytest.mark.parametrize("batching", ["bucketed", "packed"])
def test_shares_are_the_rows_of_the_batch_and_continue_from_its_saved_position(batching):
    corpora, tokenizer, config = setup(config_of(batching=batching))
    whole = take(stream(corpora, tokenizer, config), 12)
    parts = [take(stream(corpora, tokenizer, config, share=Share(n, 2, 10)), 12) for n in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        for rows, *halves in zip(batch, first, second, strict=True):
            joined = np.concatenate(halves)
            assert len(joined) % 10 == 0
            np.testing.assert_array_equal(joined[: len(rows)], rows)
            assert not joined[len(rows) :].any()
    iterator = iter(stream(corpora, tokenizer, config, share=Share(1, 2, 10)))
    next(iterator)
    (resumed,) = take(stream(corpora, tokenizer, config), 1, iterator.get_state())
    iterator.close()
    assert digest(resumed) == digest(whole[1])


def test_weights_decide_how_often_a_corpus_is_drawn_from():
    config = config_of()
    (corpus,) = load_corpora(config, "train")
    small, large = (
        corpus._replace(pairs=corpus.pairs[:20], weight=3.0),
        corpus._replace(pairs=corpus.pairs[20:], weight=1.0),
    )
    order = Order([small, large], config, seed=1)
    draws = [draw for block in range(8) for draw in order.draws(block).listed()]
    share = np.mean([pair < 20 for _, pair in draws])
    assert abs(share - 0.75) < 0.01
    visits = Counter(pair for _, pair in draws if pair < 20)
    assert max(visits.values()) - min(visits.values()) <= 1
    assert len(set(draws)) == len(draws)
    tokenizer = learn_tokenizer(config, [corpus])
    assert len(take(stream([small, large], tokenizer, config), 8)) == 8


def test_subword_sampling_differs_from_epoch_to_epoch_and_drops_nothing():
    knobs = {"batching": "packed", "toy_symbols": 3, "toy_length": 9, "maximum_tokens": 20, "row_length": 20}
    corpora, tokenizer, config = setup(config_of(**knobs, subword_sampling=0.5, vocabulary_size=11))
    engine = stream(corpora, tokenizer, config)._parent
    first = engine.order.draws(0)
    second = first._replace(epochs=first.epochs + 1)
    sampled = [engine.redraw(ToDraw(*draws, None)) for draws in (first, first, second)]
    targets = [tokens.target.lists() for tokens in sampled]
    assert targets[0] == targets[1] != targets[2]
    assert sampled[0].sizes(np.arange(len(first.pairs))).max() <= 20
    texts = engine.order.read(first.pairs.tolist())
    assert tokenizer.decode(targets[0]) == [text.target for text in texts]


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


def test_a_training_set_with_nothing_to_draw_is_refused():
    corpora, tokenizer, config = setup(config_of(maximum_tokens=2))
    long = [corpora[0]._replace(pairs=[pair for pair in corpora[0].pairs if len(pair.source) > 1])]
    with pytest.raises(InputError, match="no training pair passes the filters"):
        take(stream(long, tokenizer, config), 1)
    with pytest.raises(InputError, match="no training data: toy reverse train: no pairs, or only duplicates"):
        stream([corpora[0]._replace(pairs=[])], tokenizer, config)


def test_duplicates_are_drawn_once_and_counted():
    corpora, tokenizer, config = setup(config_of(drop_duplicates=True))
    twice = [corpora[0], corpora[0]._replace(name="again")]
    distinct = len(set(corpora[0].pairs))
    described = describe(twice, tokenizer, config)
    assert (described.pairs, described.dropped["duplicate"]) == (distinct, 300 - distinct)
    assert len(Order(twice, config, seed=1).chosen) == distinct


def test_a_description_counts_tokens_and_drops():
    corpora, tokenizer, config = setup(config_of(maximum_tokens=8))
    described = describe([corpora[0]._replace(dropped={"empty side": 4})], tokenizer, config)
    kept = [pair for pair in corpora[0].pairs if len(pair.source.split()) < 8]
    tokens = sum(len(pair.source.split()) + 1 for pair in kept)
    assert described == (len(kept), tokens, tokens, {"empty side": 4, "too long": 150 - len(kept)})
    assert described.lines() == [
        f"{len(kept)} pairs, {tokens} source and {tokens} target tokens",
        f"pairs dropped: 4 empty side, {150 - len(kept)} too long",
    ]


@pytest.mark.parametrize("knobs", [{"batching": "bucketed"}, {"batching": "packed", "subword_sampling": 0.5}])
def test_evaluation_holds_every_pair_once_in_the_training_shapes(knobs):
    corpora, tokenizer, config = setup(config_of(**knobs))
    batches, dropped = evaluation_batches(corpora[0].pairs, tokenizer, config, batch_tokens=192)
    assert Counter(pair for batch in batches for pair in pairs_of(batch)) == expected_pairs(corpora, tokenizer)
    assert not dropped
    shapes = {(rows, length) for rows, length, _ in batch_shapes(config, batch_tokens=192)}
    assert {batch.source.shape for batch in batches} <= shapes
    parts = [
        evaluation_batches(corpora[0].pairs, tokenizer, config, batch_tokens=192, share=Share(n, 2, 10)).batches
        for n in range(2)
    ]
    shared = Counter(pair for part in parts for batch in part for pair in pairs_of(batch))
    assert shared == expected_pairs(corpora, tokenizer)
    assert len(parts[0]) == len(parts[1]) == len(batches)
    short = config.model_copy(update={"row_length": 8, "maximum_tokens": 8})
    held = evaluation_batches(corpora[0].pairs, tokenizer, short, batch_tokens=192)
    assert held.dropped["too long"] + sum(len(pairs_of(batch)) for batch in held.batches) == 150
