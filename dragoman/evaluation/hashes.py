"""64-bit hashes of lines, of words and of runs of words, and collections of them in bounded memory.

They are the same in every process, so that they can be stored.
"""

import functools
from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt64

from data.random_numbers import STEP, mixed
from data.text.scripts import ANY_UNSPACED

GRAM = 13  # words, as in Brown et al. 2020 (arXiv:2005.14165), appendix C
GRAM_UNSPACED = 32  # characters, where each counts as a word: they carry about as much

Hashes: TypeAlias = UInt64[np.ndarray, " _"]


def plain(text: str) -> str:
    """The text without differences of case and white space: "A  dog " -> "a dog"."""
    return " ".join(text.casefold().split())


def hash_of(text: str) -> int:
    """The 64-bit hash of a text, which is the same in every process: the first 8 bytes of BLAKE2b."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


word_hash = functools.lru_cache(1 << 20)(hash_of)


def line_hashes(lines: Sequence[str]) -> Hashes:
    """The hashes of lines, apart from case and white space."""
    return np.fromiter((hash_of(plain(line)) for line in lines), np.uint64, len(lines))


class Grams(NamedTuple):
    """The hashes of all runs of words in some lines, and the index of the line that each is in."""

    hashes: Hashes
    lines: Int[np.ndarray, " _"]


def gram_hashes(lines: Sequence[Sequence[str]]) -> Grams:
    """The hashes of every GRAM consecutive words of lines, which are given as `words_of` splits them.

    In a line of characters without spaces between words, every GRAM_UNSPACED of them. A shorter line has none.
    """
    sizes = np.array([gram_size(words) for words in lines], np.int64)
    lengths = np.array([len(words) for words in lines], np.int64)
    words = np.fromiter(map(word_hash, chain.from_iterable(lines)), np.uint64, int(lengths.sum()))
    owners = np.repeat(np.arange(len(lines)), lengths)
    found = [_grams(words, owners, sizes[owners] == size, size) for size in (GRAM, GRAM_UNSPACED)]
    return Grams(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def gram_size(words: Sequence[str]) -> int:
    """How many words of a line are compared at once."""
    text = "".join(words)
    is_unspaced = not text.isascii() and 2 * len(ANY_UNSPACED.findall(text)) > len(words)
    return GRAM_UNSPACED if is_unspaced else GRAM


def _grams(words: Hashes, owners: Int[np.ndarray, " _"], chosen: Bool[np.ndarray, " _"], size: int) -> Grams:
    """The runs of `size` words within the lines of the chosen words: a polynomial of their hashes, well mixed."""
    words, owners = words[chosen], owners[chosen]
    count = max(0, len(words) - size + 1)
    hashes = np.zeros(count, np.uint64)
    for place in range(size):
        hashes = hashes * np.uint64(STEP) + words[place : place + count]
    hashes = mixed(hashes)
    is_within = owners[:count] == owners[len(owners) - count :]
    return Grams(hashes[is_within], owners[:count][is_within])


class Sample:
    """Different hashes, in bounded memory: all of them or, of more than `most`, those divisible by a power of two.

    Whether a hash is kept depends on itself alone. So a share of 1 in `every` of what is looked for is found.
    """

    def __init__(self, most: int):
        self.every = 1
        self._most, self._waiting, self._parts = most, 0, [np.zeros(0, np.uint64)]

    def add(self, hashes: Hashes) -> None:
        """Adds some hashes."""
        self._parts.append(self._kept(hashes))
        self._waiting += len(self._parts[-1])
        if self._waiting > self._most:
            self.hashes()

    def _kept(self, hashes: Hashes) -> Hashes:
        return hashes if self.every == 1 else hashes[hashes % np.uint64(self.every) == 0]

    def hashes(self) -> Hashes:
        """The hashes kept so far, ascending, each once."""
        hashes = distinct(np.concatenate(self._parts))
        while len(hashes) > self._most:
            self.every *= 2
            hashes = self._kept(hashes)
        self._parts, self._waiting = [hashes], 0
        return hashes


def distinct(numbers: Integer[np.ndarray, " _"]) -> Integer[np.ndarray, " _"]:
    """The different numbers, ascending. NumPy's `unique` uses a hash table, which takes many times as long here."""
    numbers = np.sort(numbers)
    return numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])] if len(numbers) else numbers


class Counts:
    """How often each hash occurs. Of more than `most` different ones, the rarest are forgotten."""

    def __init__(self, most: int):
        self._most, self._parts, self._waiting = most, [(np.zeros(0, np.uint64), np.zeros(0, np.int64))], 0

    def add(self, hashes: Hashes) -> None:
        """Counts some hashes."""
        self._parts.append(np.unique(hashes, return_counts=True))
        self._waiting += len(self._parts[-1][0])
        if self._waiting > self._most:
            self.counted()

    def counted(self) -> tuple[Hashes, Int[np.ndarray, " _"]]:
        """The different hashes, ascending, and how often each occurs."""
        hashes, counts = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        found, places = np.unique(hashes, return_inverse=True)
        totals = np.bincount(places, counts, minlength=len(found)).astype(np.int64)
        if len(found) > self._most:
            kept = np.sort(np.argsort(-totals, kind="stable")[: self._most])
            found, totals = found[kept], totals[kept]
        self._parts, self._waiting = [(found, totals)], 0
        return found, totals


def is_in(hashes: Hashes, known: Hashes) -> Bool[np.ndarray, " _"]:
    """Whether each hash is among others, which are ascending."""
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    return known[_places(hashes, known)] == hashes


def look_up(
    hashes: Integer[np.ndarray, " _"], known: Integer[np.ndarray, " _"], counts: Int[np.ndarray, " _"]
) -> Int[np.ndarray, " _"]:
    """The count of each hash, given those of known hashes, which are ascending; 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(hashes), np.int64)
    places = _places(hashes, known)
    return np.where(known[places] == hashes, counts[places], 0)


def _places(hashes: Integer[np.ndarray, " _"], known: Integer[np.ndarray, " _"]) -> Int[np.ndarray, " _"]:
    """Where each hash is among known ones if it is there, of which there is at least one."""
    return np.minimum(np.searchsorted(known, hashes), len(known) - 1)
