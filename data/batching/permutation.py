"""A pseudo-random permutation of any size of which each element can be computed alone.

It is the permutation of `grain.experimental.index_shuffle` with 4 rounds, on arrays and not one element at a time:
a Feistel cipher with the round function of Simon (Beaulieu et al. 2013) permutes the numbers of an even count of bits,
and is applied again to a result that is too large (Black and Rogaway 2002).
"""

import functools

import numpy as np
from jaxtyping import Int, UInt

ROUNDS = 4
FEWEST_BITS = 16
WORD = 0xFFFFFFFF


def permute(indices: Int[np.ndarray, " n"], size: int, seed: int) -> Int[np.ndarray, " n"]:
    """Where a permutation of range(size) sends the indices. The seed has 32 bits."""
    if size == 1:
        return np.zeros(len(indices), np.int64)
    bits = (size - 1).bit_length()
    if bits <= FEWEST_BITS:
        return small_permutation(size, seed)[indices]
    half = (bits + 1) // 2
    values, outside = np.array(indices, np.uint64), np.arange(len(indices))
    while len(outside):
        values[outside] = encrypt(values[outside], seed, half)
        outside = outside[values[outside] >= size]
    return values.astype(np.int64)


@functools.lru_cache(16)
def small_permutation(size: int, seed: int) -> Int[np.ndarray, " size"]:
    """The whole permutation of range(size), of at most 2 ** 16 elements.

    The cipher sends most elements of a small range out of it, and is applied many times until they come back. Here the
    number of times doubles with each pass.
    """
    after = encrypt(np.arange(2**FEWEST_BITS, dtype=np.uint64), seed, FEWEST_BITS // 2).astype(np.int64)
    while (after[:size] >= size).any():
        after = np.where(after >= size, after[after], after)
    return after[:size]


def encrypt(values: UInt[np.ndarray, " n"], seed: int, half: int) -> UInt[np.ndarray, " n"]:
    """The values, of twice `half` bits, after all rounds of the cipher."""
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    keys = [np.uint64(key) & mask for key in round_keys(seed)]
    left, right = values >> shift, values & mask
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        left = left ^ scramble(right, half) ^ first
        right = right ^ scramble(left, half) ^ second
    return left << shift | right


def scramble(words: UInt[np.ndarray, " n"], half: int) -> UInt[np.ndarray, " n"]:
    """Simon's round function of words of `half` bits: rotated by 1, AND rotated by 8, XOR rotated by 2."""
    mask = np.uint64((1 << half) - 1)
    by_1, by_2, by_8 = (words << np.uint64(n) | words >> np.uint64(half - n) for n in (1, 2, 8))
    return (by_1 & by_8 ^ by_2) & mask


def round_keys(seed: int) -> list[int]:
    """The numbers that `std::seed_seq{seed}` of C++ generates: a key of 32 bits for each round."""
    keys = [0x8B8B8B8B] * ROUNDS
    for number in range(ROUNDS):
        here, after, last = number, (number + 1) % ROUNDS, (number + 2) % ROUNDS
        mixed = 1664525 * fold(keys[here] ^ keys[after] ^ keys[number - 1])
        added = mixed + (1, 1 + seed, 2, 3)[number]
        keys[after] = (keys[after] + mixed) & WORD
        keys[last] = (keys[last] + added) & WORD
        keys[here] = added & WORD
    for number in range(ROUNDS):
        here, after, last = number, (number + 1) % ROUNDS, (number + 2) % ROUNDS
        mixed = 1566083941 * fold(keys[here] + keys[after] + keys[number - 1] & WORD) & WORD
        added = mixed - number & WORD
        keys[after] ^= mixed
        keys[last] ^= added
        keys[here] = added
    return keys


def fold(word: int) -> int:
    """The word, XOR its five highest bits."""
    return word ^ word >> 27
