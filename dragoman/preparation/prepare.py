"""Prepares the text of a recipe ahead of training, and surveys it."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from data.batch import Pair
from data.batching.chosen import choose
from data.config import DataConfig
from data.sources import Corpus, load_corpora
from data.sources.statistics import source_statistics
from data.storage.cache import Cache
from data.tokens.store import TokenStore, open_store
from data.vocabulary.prepared import prepared_tokenizer
from data.vocabulary.tokenizer import Tokenizer
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.overlap import find_overlap
from dragoman.evaluation.training_text import TrainingText, prepared_training_text
from dragoman.messages import progress, say
from dragoman.preparation.repeats import HeldOut
from dragoman.preparation.survey import Survey
from transformer.config import Config

HELD_OUT: tuple[Literal["validation", "test"], ...] = ("validation", "test")


class Prepared(NamedTuple):
    """What training needs of the text, from the cache."""

    tokenizer: Tokenizer
    store: TokenStore
    hashes: TrainingText


def prepare(config: Config) -> dict[str, Any]:
    """Fills the cache with all that training needs of the text, and returns what is in the text, as JSON.

    Prints what it does. The keys of the result are explained in docs/json.md.
    """
    seconds: dict[str, float] = {}
    with timed(seconds, "lines"):
        corpora = load_corpora(config.data, "train")
        held_out: dict[str, list[Pair]] = {split: _pairs(load_corpora(config.data, split)) for split in HELD_OUT}
    total = sum(len(corpus.pairs) for corpus in corpora)
    say(f"{total} training pairs, lines found in {seconds['lines']:.1f} s; preparing the vocabulary")
    prepared = fill_cache(config.data, corpora, total, seconds)
    say("surveying the text")
    with timed(seconds, "survey"):
        found = survey_text(config.data, corpora, total, prepared, held_out)
    cache, tokenizer = Cache(config.data.cache), prepared.tokenizer
    return {
        **found,
        "vocabulary": {"source": tokenizer.source_size, "target": tokenizer.target_size, "sha256": tokenizer.sha256},
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "cache": {"directory": str(cache.directory), "bytes": sum(entry.size for entry in cache.entries())},
    }


def fill_cache(config: DataConfig, corpora: Sequence[Corpus], total: int, seconds: dict[str, float]) -> Prepared:
    """What training needs of `total` pairs, computed unless the cache has it. Stores the seconds of each stage."""
    with timed(seconds, "vocabulary"):
        tokenizer = prepared_tokenizer(config, corpora, note=say)
    say(f"vocabulary: {tokenizer.target_size} pieces, ready in {seconds['vocabulary']:.1f} s")
    with timed(seconds, "tokens"), progress("tokenize", total=total) as report:
        store = open_store(corpora, tokenizer, config, report=report)
    say(f"tokens ready in {seconds['tokens']:.1f} s; hashing lines, to find those of test sets among them")
    with timed(seconds, "hashes"), progress("hash", total=total) as report:
        hashes = TrainingText.load(prepared_training_text(config, corpora, report=report))
    say(f"hashes ready in {seconds['hashes']:.1f} s; counting word forms")
    with timed(seconds, "statistics"):
        source_statistics(config, corpora)
    if config.drop_duplicates:
        with timed(seconds, "duplicates"):
            distinct = choose(corpora, config)
        say(f"{len(distinct)} of {total} pairs are distinct, found in {seconds['duplicates']:.1f} s")
    return Prepared(tokenizer, store, hashes)


def survey_text(
    config: DataConfig, corpora: Sequence[Corpus], total: int, prepared: Prepared, held_out: dict[str, list[Pair]]
) -> dict[str, Any]:
    """What is in the training text, and what of the held-out sets it contains, as JSON."""
    survey = Survey(config, corpora, prepared.store, {split: HeldOut(pairs) for split, pairs in held_out.items()})
    with progress("survey", total=total) as report:
        survey.run(report)
    found = survey.as_json()
    for split, pairs in held_out.items():
        near = find_overlap(test_set_of(split, pairs), prepared.hashes).numbers("near")
        found["overlap"][split]["near_in_training"] = len(near)
    return found


@contextlib.contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """A context that stores the seconds that it took, by the name of the stage."""
    began = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - began


def test_set_of(name: str, pairs: Sequence[Pair]) -> TestSet:
    """Held-out pairs as a test set."""
    return TestSet(name, [pair.source for pair in pairs], [[pair.target for pair in pairs]])


def _pairs(corpora: list[Corpus]) -> list[Pair]:
    return [pair for corpus in corpora for pair in corpus.pairs]
