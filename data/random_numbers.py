"""Random numbers that are a function of where they are used, computed in arrays.

A key is made of integers, such as seed, epoch and pair. It has a stream of numbers, each of which can be computed
alone: those of SplitMix64 (Steele, Lea and Flood 2014), with the key as its state.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Int, UInt

STEP = 0x9E3779B97F4A7C15  # 2 ** 64 over the golden ratio
WORD = 0xFFFFFFFFFFFFFFFF
BITS = 53  # of each number, so that a float holds it exactly

Keys: TypeAlias = UInt[np.ndarray, " n"]


def keys_of(*parts: int | Int[np.ndarray, " n"] | Keys) -> Keys:
    """A key for each place of the arrays, from the integers at that place and those that are the same everywhere.

    The order of the parts matters. Without arrays, one key.
    """
    keys = np.zeros(1, np.uint64)
    for part in parts:
        number = part.astype(np.uint64) if isinstance(part, np.ndarray) else np.uint64(part & WORD)
        keys = mixed(keys + number + np.uint64(STEP))
    return keys


def numbers(keys: Keys, place: int | Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """For each key, the number at this place of its stream, counted from 0: evenly from 0 to 2 ** 53 - 1."""
    after = np.atleast_1d(place).astype(np.uint64) + np.uint64(1)
    return (mixed(keys + after * np.uint64(STEP)) >> np.uint64(64 - BITS)).astype(np.int64)


def mixed(words: Keys) -> Keys:
    """Other words of 64 bits, one for each: the output function of SplitMix64."""
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return words ^ words >> np.uint64(31)
