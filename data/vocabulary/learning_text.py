"""The lines that a vocabulary is learned from: all of the training text, or a sample of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus, fetch
from data.vocabulary.pieces import escape

LONGEST_LINE = 65536  # bytes; SentencePiece leaves longer lines out
CHUNK = 4096  # pairs that are read at once
UNUSABLE = {"\u2585": "with the character U+2585"}  # SentencePiece leaves them out too
SEED = 0
LOOKED_AT = 1000  # pairs that show how long lines are

LEARNING_MEMORY = {"bpe": (130, 3), "unigram": (0, 22)}
"""Bytes of memory in which SentencePiece 0.2.3 learns, for each line and for each of its characters.

Measured on 58,000 to 800,000 lines of 66 and 137 characters (November 2026).
"""


class LearningText:
    """The lines of both sides, at most `most_lines` for a vocabulary (0: all), drawn with a fixed seed.

    A joint vocabulary is learned from both sides, so half of its lines are from each.
    """

    def __init__(self, corpora: Sequence[Corpus], *, most_lines: int, is_joint: bool):
        self._corpora = corpora
        self.total = sum(len(corpus.pairs) for corpus in corpora)
        self.sides = 2 if is_joint else 1
        most = most_lines and max(1, most_lines // self.sides)
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
        """Notes for the user about the lines, once they have been read."""
        notes = [f"vocabulary: {count} lines left out, {reason}" for reason, count in self._skipped.items()]
        if self.chosen is not None:
            notes = [f"vocabulary: learned from {len(self.chosen)} of {self.total} pairs, drawn at random", *notes]
        return notes

    def size(self) -> tuple[int, float]:
        """The lines that one vocabulary is learned from, and about how many characters they have on average.

        The longer side counts if each has its own vocabulary.
        """
        pairs = self.total if self.chosen is None else len(self.chosen)
        if not pairs:
            return 0, 0.0
        looked_at = sample_indices(pairs, min(pairs, LOOKED_AT), seed=SEED)
        some = list(self._pairs_at(looked_at if self.chosen is None else self.chosen[looked_at]))
        means = [sum(len(pair[side]) for pair in some) / len(some) for side in (0, 1)]
        return pairs * self.sides, sum(means) / 2 if self.sides == 2 else max(means)

    def _pairs(self) -> Iterator[Pair]:
        if self.chosen is None:
            yield from (pair for corpus in self._corpora for pair in corpus.pairs)
        else:
            yield from self._pairs_at(self.chosen)

    def _pairs_at(self, indices: Int[np.ndarray, " n"]) -> Iterator[Pair]:
        start = 0
        for corpus in self._corpora:
            stop = start + len(corpus.pairs)
            first, last = np.searchsorted(indices, [start, stop])
            for place in range(first, last, CHUNK):
                yield from fetch(corpus.pairs, (indices[place : min(place + CHUNK, last)] - start).tolist())
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


def check_memory(config: DataConfig, text: LearningText, *, available: int) -> None:
    """InputError if learning from the text would take more than the `available` bytes of memory."""
    lines, characters = text.size()
    a_line, a_character = LEARNING_MEMORY[config.subword_model]
    needed = lines * (a_line + a_character * characters)
    if needed > available:
        other = ", or data.subword_model to bpe" if config.subword_model == "unigram" else ""
        raise InputError(
            f'learning a vocabulary, data.subword_model "{config.subword_model}", from {lines} lines takes about '
            f"{needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are free: set data.vocabulary_lines to "
            f"{int(lines * available / needed)} or less{other}"
        )
