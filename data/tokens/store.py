"""The token ids of training text: tokenised once, kept in the cache of prepared text, and mapped into memory.

    source.ids      the ids of all source lines, one after another, 2 bytes each, or 4 for large vocabularies
    source.starts   where the ids of each line start, and the end of the last: 8 bytes each
    target.ids, target.starts
    type            the type of an id: "<u2" or "<u4"

The cache notices damage by sizes and checksums, and an entry is whole or absent, whatever kills its build.
"""

import contextlib
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from data.batch import Pair
from data.config import DataConfig
from data.reporting import Report, ignore
from data.sources.corpus import Corpus
from data.sources.identity import text_key
from data.storage.cache import Cache
from data.storage.stored import NUMBER
from data.tokens.ragged import PairTokens, Ragged, join
from data.vocabulary.tokenizer import Tokenizer

VERSION = 1
CHUNK = 20000  # pairs tokenised at once
SIDES = ("source", "target")

WINDOW = 1 << 16  # bytes that the system makes resident around a byte that is read
MOST = 1 << 28  # bytes of the maps that may become resident before they are released
PART = 2048  # pairs read at once


class TokenStore:
    """The ids of all pairs of a training set, in files."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._maps: list[mmap.mmap] = []
        self._touched = 0
        dtype = np.dtype((directory / "type").read_text())
        sides = [
            Ragged(self._map(directory / f"{side}.ids", dtype), self._map(directory / f"{side}.starts", NUMBER))
            for side in SIDES
        ]
        self.tokens = PairTokens(*sides)

    def _map(self, path: Path, dtype: np.dtype) -> Integer[np.ndarray, " n"]:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return np.zeros(0, dtype)
            self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with contextlib.suppress(OSError):  # a system without huge pages
                self._maps[-1].madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(self._maps[-1], dtype)

    def sizes(self, pairs: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 2"]:
        """The positions that each of these pairs takes on each side: see `PairTokens.sizes`."""
        order = np.argsort(pairs, kind="stable")
        found = np.empty((len(pairs), 2), np.int64)
        for part in self._parts(pairs[order]):
            found[order[part]] = self.tokens.sizes(pairs[order[part]])
        return found

    def read(self, pairs: Int[np.ndarray, " n"]) -> PairTokens:
        """A copy of the ids of these pairs, in this order.

        They are read in the order of the files: pages that lie side by side are mapped at once.
        """
        order = np.argsort(pairs, kind="stable")
        found = join(
            [PairTokens(*(side.take(pairs[order[part]]) for side in self.tokens)) for part in self._parts(pairs[order])]
        )
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return PairTokens(*(side.take(back) for side in found))

    def _parts(self, ascending: Int[np.ndarray, " n"]) -> Iterator[slice]:
        """Parts of ascending indices of pairs, at least one. Memory is released after those that may have filled it."""
        for start in range(0, max(1, len(ascending)), PART):
            part = slice(start, min(start + PART, len(ascending)))
            yield part
            if part.stop > start:
                self._release_after(part.stop - start, int(ascending[part.stop - 1] - ascending[start]) + 1)

    def _release_after(self, pairs: int, among: int) -> None:
        """Lets the system take back the memory of pages that were read, once it may be large.

        `pairs` pairs have just been read, of `among` neighbours. Pages stay in the system's cache of files, so they are
        read again quickly.
        """
        for one in self._maps:
            self._touched += min(pairs * WINDOW, len(one) * among // max(1, len(self.tokens.source)) + WINDOW)
        if self._touched > MOST:
            self._touched = 0
            for one in self._maps:
                if len(one) > MOST // 8 and hasattr(mmap, "MADV_DONTNEED"):
                    one.madvise(mmap.MADV_DONTNEED)


def open_store(
    corpora: Sequence[Corpus], tokenizer: Tokenizer, config: DataConfig, *, report: Report = ignore
) -> TokenStore:
    """The tokens of the corpora, tokenised now if the cache does not have them."""
    count = sum(len(corpus.pairs) for corpus in corpora)
    directory = Cache(config.cache).entry(
        "tokens",
        store_key(corpora, tokenizer, config),
        lambda directory: write_store(directory, chunks(corpora), tokenizer, report),
        about=f"tokens of {count} pairs: {', '.join(corpus.name for corpus in corpora)}",
    )
    return TokenStore(directory)


def store_key(corpora: Sequence[Corpus], tokenizer: Tokenizer, config: DataConfig) -> list[Any]:
    """What decides the tokens: the text and the vocabulary."""
    return [VERSION, tokenizer.sha256, *text_key(corpora, config)]


def chunks(corpora: Sequence[Corpus]) -> Iterator[Sequence[Pair]]:
    """All pairs, some at a time."""
    for corpus in corpora:
        for start in range(0, len(corpus.pairs), CHUNK):
            yield corpus.pairs[start : start + CHUNK]


def write_store(directory: Path, texts: Iterator[Sequence[Pair]], tokenizer: Tokenizer, report: Report) -> None:
    """Writes the files of a store. Memory does not grow with the text."""
    is_small = max(tokenizer.source_size, tokenizer.target_size) <= 1 << 16
    dtype = np.dtype("<u2" if is_small else "<u4")
    (directory / "type").write_text(dtype.str)
    with Writer(directory, "source", dtype) as source, Writer(directory, "target", dtype) as target:
        for pairs in texts:
            tokens = source.append(tokenizer.encode_plain("source", [pair.source for pair in pairs]))
            tokens += target.append(tokenizer.encode_plain("target", [pair.target for pair in pairs]))
            report(len(pairs), tokens)


class Writer:
    """Appends the ids of lines to the two files of a side."""

    def __init__(self, directory: Path, side: str, dtype: np.dtype):
        self._ids = (directory / f"{side}.ids").open("wb")
        self._starts = (directory / f"{side}.starts").open("wb")
        self._dtype, self._end = dtype, 0

    def append(self, lines: Sequence[Sequence[int]]) -> int:
        """Appends the ids of some lines, and returns their number."""
        ids = Ragged.of(lines, self._dtype)
        self._ids.write(ids.values.tobytes())
        self._starts.write((self._end + ids.starts[:-1]).astype(NUMBER).tobytes())
        self._end += len(ids.values)
        return len(ids.values)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._starts.write(np.array([self._end], NUMBER).tobytes())
        self._ids.close()
        self._starts.close()
