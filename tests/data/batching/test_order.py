"""How often the order draws from each corpus, and from duplicates."""

from collections import Counter

import numpy as np

from data.batching.description import describe
from data.batching.order import Order
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from tests.support.toy_batches import config_of, setup, stream, take


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


def test_duplicates_are_drawn_once_and_counted():
    corpora, tokenizer, config = setup(config_of(drop_duplicates=True))
    twice = [corpora[0], corpora[0]._replace(name="again")]
    distinct = len(set(corpora[0].pairs))
    described = describe(twice, tokenizer, config)
    assert (described.pairs, described.dropped["duplicate"]) == (distinct, 300 - distinct)
    assert len(Order(twice, config, seed=1).chosen) == distinct
