"""The lines that a vocabulary is learned from: all of the training text, or a sample of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.sources.corpus import Corpus, fetch
from data.vocabulary.pieces import escape

LONGEST_LINE = 65536  # bytes; SentencePiece leaves longer lines out
CHUNK = 4096  # pairs that are read at once
UNUSABLE = {"\u2585": "with the character U+2585"}  # SentencePiece leaves them out too
SEED = 0


def silent(line: str) -> None:
    """Ignores a note."""


class LearningText:
    """The lines of both sides, at most `most_lines` for a vocabulary (0: all), drawn with a fixed seed.

    A joint vocabulary is learned from both sides, so half of its lines are from each.
    """

    def __init__(self, corpora: Sequence[Corpus], *, most_lines: int, is_joint: bool):
        self._corpora = corpora
        self.total = sum(len(corpus.pairs) for corpus in corpora)
        most = most_lines // 2 if is_joint else most_lines
        self.chosen = sample_indices(self.total, most, seed=SEED) if 0 < most < self.total else None
        self._skipped: Counter[str] = Counter()

    def lines(self, side: int) -> Iterator[str]:
        """The escaped lines of the source (0) or the target (1) that SentencePiece can use; the others are counted."""
        for pair in self._pairs():
            line = escape(pair[side])
            reason = why_unusable(line)
            if reason:
                self._skipped[reason] += 1
            else:
                yield line

    def notes(self) -> list[str]:
        """What is to be told about the lines, once they were read."""
        notes = [f"vocabulary: {count} lines left out, {reason}" for reason, count in self._skipped.items()]
        if self.chosen is not None:
            notes = [f"vocabulary: learned from {len(self.chosen)} of {self.total} pairs, drawn at random", *notes]
        return notes

    def _pairs(self) -> Iterator[Pair]:
        if self.chosen is None:
            yield from (pair for corpus in self._corpora for pair in corpus.pairs)
            return
        start = 0
        for corpus in self._corpora:
            stop = start + len(corpus.pairs)
            first, last = np.searchsorted(self.chosen, [start, stop])
            for place in range(first, last, CHUNK):
                yield from fetch(corpus.pairs, (self.chosen[place : min(place + CHUNK, last)] - start).tolist())
            start = stop


def sample_indices(total: int, count: int, *, seed: int) -> Int[np.ndarray, " count"]:
    """Ascending indices below `total`: one drawn from each of `count` equal parts.

    sample_indices(6, 3, seed=0)  ->  one of 0 and 1, one of 2 and 3, one of 4 and 5
    """
    borders = np.arange(count + 1) * total // count
    return borders[:-1] + (np.random.default_rng(seed).random(count) * np.diff(borders)).astype(np.int64)


def why_unusable(line: str) -> str:
    """Why SentencePiece would leave a line out without a word, or "" if it would not."""
    if len(line) * 4 > LONGEST_LINE and len(line.encode()) > LONGEST_LINE:
        return f"longer than {LONGEST_LINE} bytes"
    return next((reason for character, reason in UNUSABLE.items() if character in line), "")
