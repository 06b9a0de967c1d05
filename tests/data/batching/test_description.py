"""The size of a training set, in numbers and as the lines that a command prints."""

from data.batching.description import describe
from tests.support.toy_batches import config_of, setup


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
