"""A table from pairs of small integers to integers, in which many pairs are found at once."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from data.random_numbers import STEP

ABSENT = -1
ROOM = 8  # slots for each pair, so that most pairs are found, or found to be absent, at the first look


class PairTable:
    """What each pair maps to, or `ABSENT`: a hash table with linear probing, on arrays.

    PairTable({(3, 5): 7}).find(np.array([3, 5]), np.array([5, 3]))  ->  [7, -1]
    """

    def __init__(self, values: Mapping[tuple[int, int], int]):
        bits = max(4, (ROOM * len(values)).bit_length())
        self._shift, self._last = np.uint64(64 - bits), np.int64((1 << bits) - 1)
        self._pairs = np.full(1 << bits, ABSENT, np.int64)
        self._values = np.full(1 << bits, ABSENT, np.int32)
        both = np.array(list(values), np.int64).reshape(-1, 2)
        self._fill(joined(both[:, 0], both[:, 1]), np.fromiter(values.values(), np.int32, len(values)))

    def _fill(self, pairs: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]) -> None:
        slots = self._slots(pairs)
        while len(pairs):
            is_free = self._pairs[slots] == ABSENT
            self._pairs[slots[is_free]] = pairs[is_free]  # of several pairs, the last one gets the slot
            is_in = self._pairs[slots] == pairs
            self._values[slots[is_in]] = values[is_in]
            pairs, values, slots = pairs[~is_in], values[~is_in], slots[~is_in] + 1 & self._last

    def _slots(self, pairs: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return (pairs.view(np.uint64) * np.uint64(STEP) >> self._shift).view(np.int64)

    def find(self, left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """What the pairs map to. None of the integers is negative."""
        pairs = joined(left, right)
        slots = self._slots(pairs)
        found = self._pairs[slots]
        result = self._values[slots]
        unsure = np.flatnonzero((found != pairs) & (found != ABSENT))
        while len(unsure):
            slots[unsure] = slots[unsure] + 1 & self._last
            found = self._pairs[slots[unsure]]
            result[unsure] = self._values[slots[unsure]]
            unsure = unsure[(found != pairs[unsure]) & (found != ABSENT)]
        return result


def joined(left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Both integers in one."""
    return left.astype(np.int64) << np.int64(32) | right.astype(np.int64)
