"""The corpora that every source yields: named, with random access to sentence pairs."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, overload

from data.batch import Pair
from data.lines import LINES
from data.storage.stored import Numbers
from data.text.cleaning import clean

DENSE = 8  # reading this many pairs in order takes no longer than reading one by itself
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
    """The pairs that `read(start, stop)` returns, all or those with the kept indices, read on access."""

    def __init__(self, read: Callable[[int, int], list[Pair]], count: int, kept: Numbers | None = None):
        self._read = read
        self._count = count
        self._kept = kept

    def __len__(self) -> int:
        return self._count if self._kept is None else len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        indices = range(len(self))[index]
        if isinstance(indices, int):
            return self._range(indices, indices + 1)[0]
        if indices.step == 1:
            return self._range(indices.start, indices.stop)
        return [self[i] for i in indices]

    def __getitems__(self, indices: Iterable[int]) -> list[Pair]:
        """The pairs at these indices. If they lie close together, all between them are read at once."""
        indices = list(indices)
        if not indices or max(indices) - min(indices) >= DENSE * len(indices):
            return [self[index] for index in indices]
        first = min(indices)
        pairs = self._range(first, max(indices) + 1)
        return [pairs[index - first] for index in indices]

    def _range(self, start: int, stop: int) -> list[Pair]:
        if self._kept is None or start >= stop:
            return self._read(start, stop)
        kept = self._kept.read(start, stop)
        first = int(kept[0])
        pairs = self._read(first, int(kept[-1]) + 1)
        return pairs if len(pairs) == len(kept) else [pairs[place] for place in (kept - first).tolist()]

    def __iter__(self) -> Iterator[Pair]:
        return (pair for start in range(0, len(self), LINES) for pair in self[start : start + LINES])


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

    def __iter__(self) -> Iterator[Pair]:
        return map(clean_pair, self._pairs)

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
