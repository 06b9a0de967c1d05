"""Lists of different lengths in one array, and the token ids of many sentence pairs as two of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from data.batch import TokenPair

GROUPS = (6, 8, 10, 13, 17, 22, 29, 38, 50, 66, 86, 112)  # the longest of each group of lists


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of integers in one array: list n is `values[starts[n] : starts[n + 1]]`.

    [[5, 6], [], [7]] is values [5, 6, 7] and starts [0, 2, 2, 3].
    """

    values: Integer[np.ndarray, " values"]
    starts: Int[np.ndarray, " lists_and_end"]

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]], dtype: np.dtype | type = np.int64) -> "Ragged":
        """The lists in one array of this type."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        return cls(np.fromiter(chain.from_iterable(lists), dtype, int(lengths.sum())), starts_of(lengths))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lists(self) -> list[list[int]]:
        """The lists, as Python has them."""
        values, starts = self.values.tolist(), self.starts.tolist()
        return [values[start:end] for start, end in pairwise(starts)]

    def lengths(self, indices: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The lengths of the lists at these indices."""
        return self.starts[indices + 1] - self.starts[indices]

    def take(self, indices: Int[np.ndarray, " n"]) -> "Ragged":
        """The lists at these indices, in that order."""
        lengths = self.lengths(indices)
        return Ragged(self.values[ranges(self.starts[indices], lengths)], starts_of(lengths))

    def slice(self, first: int, last: int) -> "Ragged":
        """The lists from `first` up to, not including, `last`."""
        starts = self.starts[first : last + 1]
        return Ragged(self.values[starts[0] : starts[-1]], starts - starts[0])

    def padded(self, multiple: int) -> "Ragged":
        """The lists, and then empty lists, to a multiple of this number."""
        return Ragged(self.values, np.pad(self.starts, (0, -len(self) % multiple), mode="edge"))


class PairTokens(NamedTuple):
    """The ids of many pairs. Neither side has BOS or EOS; `sizes` counts an EOS on each side."""

    source: Ragged
    target: Ragged

    @classmethod
    def of(cls, pairs: Sequence[TokenPair]) -> "PairTokens":
        """The pairs in arrays."""
        return cls(Ragged.of([pair.source[:-1] for pair in pairs]), Ragged.of([pair.target for pair in pairs]))

    def sizes(self, indices: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 2"]:
        """The positions that each of these pairs takes on each side, including EOS: ([a, b, EOS], [x]) -> (3, 2)."""
        return np.stack([side.lengths(indices) for side in self], axis=1).astype(np.int64) + 1


def starts_of(lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n_and_end"]:
    """Where lists of these lengths start if they follow each other, and the end: [2, 0, 1] -> [0, 2, 2, 3]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " total"]:
    """Ranges of these starts and lengths, one after another: [7, 2] and [3, 2] -> [7, 8, 9, 2, 3]."""
    before = starts_of(lengths)
    return np.arange(before[-1]) + np.repeat(starts - before[:-1], lengths)


def join(parts: Sequence[PairTokens]) -> PairTokens:
    """The pairs of all parts, of which there is at least one."""
    return PairTokens(*(concatenate(sides) for sides in zip(*parts, strict=True)))


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """The lists of all parts, of which there is at least one."""
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), starts_of(lengths))


def nested(parts: Ragged, lists: Ragged) -> Ragged:
    """The parts at the indices of each list, in one list: parts [[5], [6, 7]] and lists [[1, 0]] -> [[6, 7, 5]]."""
    taken = parts.take(lists.values)
    return Ragged(taken.values, taken.starts[lists.starts])


def by_length(lengths: Int[np.ndarray, " n"]) -> Iterator[Int[np.ndarray, " group"]]:
    """The indices, in groups of about the same length, so that little is padding: [9, 2, 8, 2] -> [1, 3], [2, 0]."""
    order = np.argsort(lengths, kind="stable")
    ends = [0, *np.searchsorted(lengths[order], GROUPS, side="right").tolist(), len(order)]
    yield from (order[start:end] for start, end in pairwise(ends) if start < end)
