"""The corpora that every source yields: named, with random access to sentence pairs."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, overload

import numpy as np

from data.batch import Pair
from data.text.cleaning import clean

Split = Literal["train", "validation", "test"]


class Corpus(NamedTuple):
    """Sentence pairs of one origin.

    `weight` is how often the corpus is drawn from, relative to the others; None means in proportion to its size.
    `dropped` counts the pairs left out, by reason. `fingerprint` is a SHA-256 of the text, for manifests and resuming.
    """

    name: str
    pairs: Sequence[Pair]
    weight: float | None
    dropped: dict[str, int]
    fingerprint: str


def draw_shares(corpora: Sequence[Corpus]) -> list[float]:
    """The share of each corpus in the pairs drawn for training: by weight, or by size if there are no weights.

    Corpora of 300 and 100 pairs -> [0.75, 0.25]; with weights of 1.0 and 3.0 -> [0.25, 0.75].
    """
    parts = [len(corpus.pairs) if corpus.weight is None else corpus.weight for corpus in corpora]
    return [part / sum(parts) for part in parts]


class LazyPairs(Sequence[Pair]):
    """The pairs that `read(index)` returns for the kept indices. Only bytes and offsets are in memory, no strings."""

    def __init__(self, read: Callable[[int], Pair], indices: Iterable[int]):
        self._read = read
        self._indices = np.fromiter(indices, np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._read(int(self._indices[index]))


class CleanPairs(Sequence[Pair]):
    """Pairs, both sides cleaned when they are read: see data/text/cleaning.py."""

    def __init__(self, pairs: Sequence[Pair]):
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [clean_pair(pair) for pair in self._pairs[index]]
        return clean_pair(self._pairs[index])

    def __getitems__(self, indices: list[int]) -> list[Pair]:
        """The pairs at the indices, read in one call if the source supports that."""
        return [clean_pair(pair) for pair in fetch(self._pairs, indices)]


def clean_pair(pair: Pair) -> Pair:
    """The pair with both sides cleaned."""
    return Pair(clean(pair.source), clean(pair.target))


def fetch(pairs: Sequence[Pair], indices: Iterable[int]) -> Sequence[Pair]:
    """The pairs at the indices, read in one call if the sequence supports that."""
    many = getattr(pairs, "__getitems__", None)
    return many(list(indices)) if many else [pairs[index] for index in indices]


def has_text(pair: Pair) -> bool:
    """Whether both sides contain more than white space."""
    return bool(pair.source.strip() and pair.target.strip())


def fingerprint_of(parts: Iterable[str]) -> str:
    """The SHA-256 of texts in order, each followed by a byte that never occurs in UTF-8."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\xff")
    return digest.hexdigest()
