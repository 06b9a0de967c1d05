"""IBM Model 1 (Brown et al. 1993, section 4.2): t(target word | source word), by EM over pairs of lines.

Memory is a number (4 bytes) for each source and target word that share a pair of lines, and about 40 bytes for each
different pair of words. All else is computed in blocks.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dragoman.evaluation.hashes import distinct

ITERATIONS = 5
BLOCK = 1 << 20  # occurrences of word pairs that are handled at once, or those of one pair of lines


class Block(NamedTuple):
    """The word pairs of some lines, as they occur: for each target word in turn, one with each source word."""

    indices: Int[np.ndarray, " occurrences"]  # of each occurrence, among the different pairs
    starts: Int[np.ndarray, " targets"]  # where each target word's occurrences begin


class WordPairs(NamedTuple):
    """The different pairs of a source and a target word that share a pair of lines, and where they occur."""

    keys: Int[np.ndarray, " pairs"]  # source word * base + target word of each different pair, ascending
    base: int
    blocks: list[Block]

    @property
    def sources(self) -> Int[np.ndarray, " pairs"]:
        """The source word of each different pair."""
        return self.keys // self.base

    @property
    def targets(self) -> Int[np.ndarray, " pairs"]:
        """The target word of each different pair."""
        return self.keys % self.base


def find_word_pairs(sources: Sequence[Int[np.ndarray, " _"]], targets: Sequence[Int[np.ndarray, " _"]]) -> WordPairs:
    """All pairs of words that share a pair of lines. Lines are given as word numbers."""
    base = max((int(row.max(initial=0)) for row in targets), default=0) + 1
    keys, waiting = np.zeros(0, np.int64), [np.zeros(0, np.int64)]
    for block, _ in key_blocks(sources, targets, base):
        waiting.append(distinct(block))
        if sum(map(len, waiting)) > max(BLOCK, len(keys)):  # so that all keys are sorted only a few times
            keys, waiting = distinct(np.concatenate([keys, *waiting])), []
    keys = distinct(np.concatenate([keys, *waiting]))
    blocks = []
    for block, starts in key_blocks(sources, targets, base):
        own, places = np.unique(block, return_inverse=True)
        blocks.append(Block(np.searchsorted(keys, own).astype(np.int32)[places], starts))
    return WordPairs(keys, base, blocks)


def key_blocks(
    sources: Sequence[Int[np.ndarray, " _"]], targets: Sequence[Int[np.ndarray, " _"]], base: int
) -> Iterator[tuple[Int[np.ndarray, " occurrences"], Int[np.ndarray, " targets"]]]:
    """The keys of `WordPairs` in blocks of about BLOCK, from whole lines, and where those of each target word begin."""
    keys: list[np.ndarray] = []
    widths: list[np.ndarray] = []
    size = 0
    for source, target in zip(sources, targets, strict=True):
        added = len(source) * len(target)
        if keys and size + added > BLOCK:
            yield join_block(keys, widths)
            keys, widths, size = [], [], 0
        if added:
            keys.append((source.astype(np.int64) * base + target.astype(np.int64)[:, None]).ravel())
            widths.append(np.full(len(target), len(source)))
            size += added
    if keys:
        yield join_block(keys, widths)


def join_block(
    keys: Sequence[np.ndarray], widths: Sequence[np.ndarray]
) -> tuple[Int[np.ndarray, " occurrences"], Int[np.ndarray, " targets"]]:
    """The keys of several pairs of lines, and where those of each target word begin."""
    return np.concatenate(keys), np.cumsum(np.concatenate([[0], *widths]))[:-1]


def expectation_maximization(pairs: WordPairs) -> Float[np.ndarray, " pairs"]:
    """t(target | source) of each different pair of words, by EM from a uniform distribution."""
    sources = pairs.sources
    probability = np.ones(len(sources))
    for _ in range(ITERATIONS):
        count = np.zeros(len(sources))
        for indices, starts in pairs.blocks:
            weight = probability[indices]
            totals = np.add.reduceat(weight, starts)
            weight /= np.repeat(totals, np.diff(starts, append=len(weight)))
            count += np.bincount(indices, weight, minlength=len(count))
        probability = count / np.bincount(sources, count)[sources]
    return probability
