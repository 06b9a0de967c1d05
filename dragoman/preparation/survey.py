"""The passes over the training text that find out what is in it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.batching.filters import FILTERS
from data.config import DataConfig
from data.sources.corpus import Corpus, fetch
from data.tokens.store import TokenStore
from data.vocabulary.learning_text import sample_indices
from dragoman.evaluation.hashes import plain
from dragoman.preparation.lengths import Lengths
from dragoman.preparation.oddities import odd_pairs
from dragoman.preparation.repeats import EXAMPLES, HeldOut, Repeats, hashes_of

CHUNK = 8192  # pairs that are in memory at once
EXAMINED = 200_000  # pairs that are looked at one by one, drawn at random
SEED = 1
LONGEST_EXAMPLE = 120  # characters


def example(corpus: Corpus, place: int, pair: Pair) -> dict[str, Any]:
    """A pair to show: its corpus, its number there from 1 on, and the beginnings of its sides."""
    source, target = (text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…" for text in pair)
    return {"corpus": corpus.name, "pair": place + 1, "source": source, "target": target}


def corpus_as_json(corpus: Corpus, lengths: tuple[Lengths, Lengths]) -> dict[str, Any]:
    """The size of a corpus: pairs, those left out by reason, and the tokens of each side."""
    left_out = {reason: count for reason, count in corpus.dropped.items() if count}
    source, target = (side.as_json() for side in lengths)
    return {"name": corpus.name, "pairs": len(corpus.pairs), "left_out": left_out, "source": source, "target": target}


class Survey:
    """Counts over the whole training text, and a closer look at a sample of it."""

    def __init__(self, config: DataConfig, corpora: Sequence[Corpus], store: TokenStore, held_out: dict[str, HeldOut]):
        self._config, self._corpora, self._store, self._held_out = config, corpora, store, held_out
        total = sum(len(corpus.pairs) for corpus in corpora)
        self._lengths = [(Lengths(), Lengths()) for _ in corpora]
        self._dropped: dict[str, dict[str, Any]] = {reason: {"pairs": 0, "examples": []} for reason in FILTERS}
        self._repeats, self._source_repeats = Repeats(total), Repeats(total)
        self._copies = 0

    def run(self, report: Callable[[int, int], None]) -> None:
        """The pass over all pairs. `report` gets the pairs and the tokens of each part."""
        first = 0
        for corpus, lengths in zip(self._corpora, self._lengths, strict=True):
            for start in range(0, len(corpus.pairs), CHUNK):
                pairs = corpus.pairs[start : start + CHUNK]
                sizes = self._store.sizes(first + start + np.arange(len(pairs)))
                for side, counts in enumerate(lengths):
                    counts.add(sizes[:, side])
                self._count(pairs)
                self._filter(corpus, start, pairs, sizes)
                report(len(pairs), int(sizes.sum()))
            first += len(corpus.pairs)

    def _count(self, pairs: Sequence[Pair]) -> None:
        self._repeats.add(hashes_of([tuple(pair) for pair in pairs]))
        self._source_repeats.add(hashes_of([pair.source for pair in pairs]))
        self._copies += sum(pair.source == pair.target for pair in pairs)
        if self._held_out:
            sources, targets = ([plain(pair[side]) for pair in pairs] for side in (0, 1))
            for one in self._held_out.values():
                one.add(sources, targets)

    def _filter(self, corpus: Corpus, start: int, pairs: Sequence[Pair], sizes: Int[np.ndarray, "n 2"]) -> None:
        is_kept = np.ones(len(pairs), np.bool_)
        for reason, drops in FILTERS.items():
            places = np.flatnonzero(is_kept & drops(sizes, self._config)).tolist()
            is_kept[places] = False
            found = self._dropped[reason]
            found["pairs"] += len(places)
            wanted = places[: EXAMPLES - len(found["examples"])]
            found["examples"] += [example(corpus, start + place, pairs[place]) for place in wanted]

    def as_json(self) -> dict[str, Any]:
        """What the pass over all pairs found, and the closer look at a sample."""
        chosen, owners, numbers = self._sample()
        pairs = self._read(owners, numbers)
        repeats = self._repeats.counted()
        times = repeats.times(hashes_of([tuple(pair) for pair in pairs]))
        often = [place for place in np.argsort(-times, kind="stable")[:EXAMPLES].tolist() if times[place]]

        def show(place: int) -> dict[str, Any]:
            return example(self._corpora[owners[place]], int(numbers[place]), pairs[place])

        languages = (self._config.source_language, self._config.target_language)
        odd = odd_pairs(pairs, self._store.sizes(chosen), languages)
        return {
            "corpora": [*map(corpus_as_json, self._corpora, self._lengths)],
            "dropped": self._dropped,
            "duplicates": {
                "pairs": repeats.repeats,
                "sources": self._source_repeats.counted().repeats,
                "are_dropped": self._config.drop_duplicates,
                "is_estimate": self._repeats.every > 1,
                "examples": [{**show(place), "times": int(times[place])} for place in often],
            },
            "copies": self._copies,
            "overlap": {split: held_out.as_json() for split, held_out in self._held_out.items()},
            "odd": {
                "examined": len(pairs),
                **{
                    kind: {"pairs": len(places), "examples": [show(place) for place in places[:EXAMPLES]]}
                    for kind, places in odd.items()
                },
            },
        }

    def _sample(self) -> list[Int[np.ndarray, " n"]]:
        """Indices of pairs drawn at random, or of all in a small text; the corpora they are in; their numbers there."""
        sizes = [len(corpus.pairs) for corpus in self._corpora]
        chosen = sample_indices(sum(sizes), min(EXAMINED, sum(sizes)), seed=SEED)
        starts = np.cumsum([0, *sizes])
        owners = np.searchsorted(starts, chosen, side="right") - 1
        return [chosen, owners, chosen - starts[owners]]

    def _read(self, owners: Int[np.ndarray, " n"], numbers: Int[np.ndarray, " n"]) -> list[Pair]:
        """The text of pairs, by their corpora and their numbers there."""
        pairs: list[Pair] = []
        for place, corpus in enumerate(self._corpora):
            own = numbers[owners == place]
            for first in range(0, len(own), CHUNK):
                pairs += fetch(corpus.pairs, own[first : first + CHUNK].tolist())
        return pairs
