"""Does ahead of training what it needs of text, and surveys it."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from data.batch import Pair
from data.batching.chosen import choose
from data.sources import Corpus, load_corpora
from data.sources.statistics import source_statistics
from data.storage.cache import Cache
from data.tokens.store import open_store
from data.vocabulary.prepared import prepared_tokenizer
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.overlap import find_overlap
from dragoman.evaluation.training_text import TrainingText, prepared_training_text
from dragoman.messages import progress, say
from dragoman.preparation.repeats import HeldOut
from dragoman.preparation.survey import Survey
from transformer.config import Config

HELD_OUT: tuple[Literal["validation", "test"], ...] = ("validation", "test")


def prepare(config: Config) -> dict[str, Any]:
    """Fills the cache with all that training needs of the text, and returns what is in the text, as JSON.

    Prints what it does. The keys of the result are explained in docs/json.md.
    """
    seconds = {}
    began = time.monotonic()
    corpora = load_corpora(config.data, "train")
    pairs = {split: _pairs(load_corpora(config.data, split)) for split in HELD_OUT}
    held_out: dict[str, HeldOut] = {split: HeldOut(own) for split, own in pairs.items()}
    total = sum(len(corpus.pairs) for corpus in corpora)
    seconds["lines"] = time.monotonic() - began
    say(f"{total} training pairs, lines found in {seconds['lines']:.1f} s; preparing the vocabulary")

    began = time.monotonic()
    tokenizer = prepared_tokenizer(config.data, corpora, note=say)
    seconds["vocabulary"] = time.monotonic() - began
    say(f"vocabulary: {tokenizer.target_size} pieces, ready in {seconds['vocabulary']:.1f} s")

    began = time.monotonic()
    with progress("tokenize", total=total) as report:
        store = open_store(corpora, tokenizer, config.data, report=report)
    seconds["tokens"] = time.monotonic() - began
    say(f"tokens ready in {seconds['tokens']:.1f} s; hashing lines, to find those of test sets among them")

    began = time.monotonic()
    with progress("hash", total=total) as report:
        training = TrainingText.load(prepared_training_text(config.data, corpora, report=report))
    seconds["hashes"] = time.monotonic() - began
    say(f"hashes ready in {seconds['hashes']:.1f} s; counting word forms")

    began = time.monotonic()
    source_statistics(config.data, corpora)
    seconds["statistics"] = time.monotonic() - began
    if config.data.drop_duplicates:
        began = time.monotonic()
        distinct = choose(corpora, config.data)
        seconds["duplicates"] = time.monotonic() - began
        say(f"{len(distinct)} of {total} pairs are distinct, found in {seconds['duplicates']:.1f} s")

    say("surveying the text")
    began = time.monotonic()
    survey = Survey(config.data, corpora, store, held_out)
    with progress("survey", total=total) as report:
        survey.run(report)
    found = survey.as_json()
    for split, own in pairs.items():
        near = find_overlap(test_set_of(split, own), training).numbers("near")
        found["overlap"][split]["near_in_training"] = len(near)
    seconds["survey"] = time.monotonic() - began
    cache = Cache(config.data.cache)
    return {
        **found,
        "vocabulary": {"source": tokenizer.source_size, "target": tokenizer.target_size, "sha256": tokenizer.sha256},
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "cache": {"directory": str(cache.directory), "bytes": sum(entry.size for entry in cache.entries())},
    }


def test_set_of(name: str, pairs: Sequence[Pair]) -> TestSet:
    """Held-out pairs as a test set."""
    return TestSet(name, [pair.source for pair in pairs], [[pair.target for pair in pairs]])


def _pairs(corpora: list[Corpus]) -> list[Pair]:
    return [pair for corpus in corpora for pair in corpus.pairs]
