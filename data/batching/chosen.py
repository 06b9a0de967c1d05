"""The pairs that training draws from: all of them, or without duplicates."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int

from data.batching.filters import first_occurrences
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.sources.identity import text_key
from data.storage.cache import Cache
from data.storage.stored import NUMBER


class Consecutive:
    """The numbers from `first` up to `last`, indexed as an array of them is, without its memory."""

    def __init__(self, first: int, last: int):
        self.first, self.last = first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, places: slice | Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        if isinstance(places, slice):
            return self.first + np.arange(*places.indices(len(self)))
        return self.first + places


Chosen = Consecutive | np.ndarray
"""Indices of pairs in the concatenated corpora, ascending."""


def choose(corpora: Sequence[Corpus], config: DataConfig) -> Chosen:
    """The pairs of the corpora that are drawn. Which of them are distinct is found once, and kept in the cache."""
    count = sum(len(corpus.pairs) for corpus in corpora)
    if not config.drop_duplicates or not count:
        return Consecutive(0, count)
    directory = Cache(config.cache).entry(
        "distinct",
        text_key(corpora, config),
        lambda directory: _write_distinct(directory, corpora),
        about=f"which of {count} pairs are distinct: {', '.join(corpus.name for corpus in corpora)}",
    )
    return np.asarray(np.memmap(directory / "indices", NUMBER, mode="r"))


def _write_distinct(directory: Path, corpora: Sequence[Corpus]) -> None:
    indices = first_occurrences(pair for corpus in corpora for pair in corpus.pairs)
    (directory / "indices").write_bytes(indices.astype(NUMBER).tobytes())


def split(chosen: Chosen, starts: Int[np.ndarray, " corpora_and_end"]) -> list[Chosen]:
    """The chosen pairs of each corpus, of which the first pairs have the indices `starts`."""
    if isinstance(chosen, Consecutive):
        return [Consecutive(first, last) for first, last in pairwise(starts.tolist())]
    return list(np.split(chosen, np.searchsorted(chosen, starts[1:-1])))
