"""Text that occurs more than once: pairs within the training text, and held-out lines that it contains."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from dragoman.evaluation.hashes import look_up, plain

MOST = 20_000_000  # hashes that are kept; of a larger corpus, a share of them
EXAMPLES = 3


def hashes_of(texts: Sequence[Any]) -> Int[np.ndarray, " n"]:
    """64-bit hashes, which mean something in this process only."""
    return np.fromiter(map(hash, texts), np.int64, len(texts))


class Repeats:
    """Counts texts that occur again. Of a total above MOST, those whose hash is divisible by a number stand for all."""

    def __init__(self, total: int):
        self.every = -(-total // MOST)
        self._parts: list[np.ndarray] = []

    def add(self, hashes: Int[np.ndarray, " n"]) -> None:
        """Counts some texts."""
        self._parts.append(hashes if self.every == 1 else hashes[hashes % self.every == 0])

    def counted(self) -> "Counted":
        """The counts. Call this once, at the end."""
        hashes = np.concatenate([np.zeros(0, np.int64), *self._parts])
        self._parts = []
        hashes.sort()
        starts = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] - 1)) if len(hashes) else np.zeros(0, np.int64)
        counts = np.diff(starts, append=len(hashes))
        again = counts > 1
        return Counted((len(hashes) - len(starts)) * self.every, hashes[starts[again]], counts[again])


class Counted(NamedTuple):
    """How many texts repeat an earlier one; the hashes of the texts that do, ascending, and how often each occurs."""

    repeats: int
    hashes: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]

    def times(self, hashes: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """How often the text with each hash occurs; 0 if only once."""
        return look_up(hashes, self.hashes, self.counts)


class HeldOut:
    """The lines of a held-out set, and which of them the training text contains. Case and white space do not count."""

    def __init__(self, pairs: Sequence[Pair]):
        self._pairs = [Pair(plain(pair.source), plain(pair.target)) for pair in pairs]
        self._originals = pairs
        self._known = [{pair[side] for pair in self._pairs} for side in (0, 1)]
        self._found: list[set[str]] = [set(), set()]
        self._found_pairs: set[Pair] = set()
        self._together = set(self._pairs)

    def add(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Looks for some training pairs, whose sides are `plain`."""
        for side, lines in enumerate((sources, targets)):
            self._found[side].update(self._known[side].intersection(lines))
        self._found_pairs.update(self._together.intersection(map(Pair, sources, targets)))

    def as_json(self) -> dict[str, Any]:
        """How many lines and pairs of the set the training text contains, and examples."""
        inside = [place for place, pair in enumerate(self._pairs) if pair in self._found_pairs]
        return {
            "pairs": len(self._pairs),
            "sources_in_training": sum(pair.source in self._found[0] for pair in self._pairs),
            "targets_in_training": sum(pair.target in self._found[1] for pair in self._pairs),
            "pairs_in_training": len(inside),
            "examples": [self._originals[place]._asdict() for place in inside[:EXAMPLES]],
        }
