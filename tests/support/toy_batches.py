"""Training batches of a toy corpus of 150 pairs, drawn in blocks of 55."""

from collections import Counter

from data.batch import EOS
from data.batching.pipeline import training_batches
from data.config import DataConfig
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer

KNOBS = {
    "corpus": "toy",
    "toy_pairs": 150,
    "vocabulary_size": 57,
    "byte_fallback": False,
    "maximum_tokens": 16,
    "row_length": 16,
    "shuffle_block": 55,
}
SAMPLED = {"batching": "packed", "subword_sampling": 0.3, "toy_symbols": 3, "vocabulary_size": 11}


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
