"""Filters of training pairs, and counts of dropped pairs by reason. Only the first reason that applies is counted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from data.batch import Pair
from data.config import DataConfig

Sizes: TypeAlias = Int[np.ndarray, "n 2"]
"""The positions that pairs take on each side, including EOS."""


def is_empty(sizes: Sizes, config: DataConfig) -> Bool[np.ndarray, " n"]:
    """True where a side has no tokens but EOS."""
    return sizes.min(axis=1) < 2


def is_too_long(sizes: Sizes, config: DataConfig) -> Bool[np.ndarray, " n"]:
    """True where a side has more than `maximum_tokens` tokens, including EOS."""
    return sizes.max(axis=1) > config.maximum_tokens


def is_unbalanced(sizes: Sizes, config: DataConfig) -> Bool[np.ndarray, " n"]:
    """True where the ratio of the sides' tokens, including EOS, is above `maximum_side_ratio`."""
    if not config.maximum_side_ratio:
        return np.zeros(len(sizes), np.bool_)
    return sizes.max(axis=1) > config.maximum_side_ratio * sizes.min(axis=1)


FILTERS: dict[str, Callable[[Sizes, DataConfig], Bool[np.ndarray, " n"]]] = {
    "empty side": is_empty,
    "too long": is_too_long,
    "unbalanced": is_unbalanced,
}


def keep_pairs(sizes: Sizes, config: DataConfig) -> tuple[Int[np.ndarray, " kept"], Counter[str]]:
    """Indices of the pairs that no filter drops, and the number that each filter drops."""
    is_kept = np.ones(len(sizes), np.bool_)
    dropped: Counter[str] = Counter()
    for reason, drops in FILTERS.items():
        is_dropped = is_kept & drops(sizes, config)
        is_kept &= ~is_dropped
        if count := int(is_dropped.sum()):
            dropped[reason] = count
    return np.flatnonzero(is_kept), dropped


def first_occurrences(pairs: Iterable[Pair]) -> np.ndarray:
    """Indices of the pairs without duplicates, of which the first is kept: [ab, cd, ab] -> [0, 1]."""
    digests = bytearray()
    for pair in pairs:
        digests += hashlib.blake2b("\n".join(pair).encode(), digest_size=16).digest()
    _, indices = np.unique(np.frombuffer(digests, "S16"), return_index=True)
    return np.sort(indices)
