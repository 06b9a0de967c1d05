"""Filters of training pairs, and counts of dropped pairs by reason. Only the first reason that applies is counted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from data.batch import Pair, TokenPair
from data.config import DataConfig


def is_empty(pair: TokenPair, config: DataConfig) -> bool:
    """True if a side has no tokens, not counting the source's EOS."""
    return len(pair.source) < 2 or not pair.target


def is_too_long(pair: TokenPair, config: DataConfig) -> bool:
    """True if a side has more than `maximum_tokens` tokens, including EOS."""
    return max(sides(pair)) > config.maximum_tokens


def is_unbalanced(pair: TokenPair, config: DataConfig) -> bool:
    """True if the ratio of the sides' tokens, including EOS, is above `maximum_side_ratio`."""
    return config.maximum_side_ratio > 0 and max(sides(pair)) > config.maximum_side_ratio * min(sides(pair))


FILTERS: dict[str, Callable[[TokenPair, DataConfig], bool]] = {
    "empty side": is_empty,
    "too long": is_too_long,
    "unbalanced": is_unbalanced,
}


def sides(pair: TokenPair) -> tuple[int, int]:
    """The positions that the pair takes on each side, including EOS: ([a, b, EOS], [x]) -> (3, 2)."""
    return len(pair.source), len(pair.target) + 1


def keep_pairs(pairs: Sequence[TokenPair], config: DataConfig) -> tuple[list[int], Counter[str]]:
    """Indices of the pairs that no filter drops, and the number that each filter drops."""
    kept: list[int] = []
    dropped: Counter[str] = Counter()
    for index, pair in enumerate(pairs):
        reason = next((name for name, drops in FILTERS.items() if drops(pair, config)), None)
        if reason is None:
            kept.append(index)
        else:
            dropped[reason] += 1
    return kept, dropped


def first_occurrences(pairs: Iterable[Pair]) -> np.ndarray:
    """Indices of the pairs without duplicates, of which the first is kept: [ab, cd, ab] -> [0, 1]."""
    seen: set[bytes] = set()
    indices = []
    for index, pair in enumerate(pairs):
        digest = hashlib.blake2b("\n".join(pair).encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            indices.append(index)
    return np.array(indices, np.int64)
