"""Tokens that are drawn anew in each epoch are the same whatever processes draw them."""

import json
import random
from contextlib import closing

import numpy as np
import pytest

from data.batching import blocks
from data.storage.cache import Cache
from data.tokens.ragged import join
from data.tokens.redraw import ToDraw, derive_seed
from data.tokens.workers import Workers
from tests.support.toy_batches import SAMPLED, config_of, digest, setup, stream, take


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
