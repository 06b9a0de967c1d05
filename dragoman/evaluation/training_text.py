"""What a run remembers of its training text: hashes of lines and of runs of words, and how often each word occurs.

A test set is compared with them without the text itself. They are made once for a text, kept in the cache of prepared
text, and copied into each run as `training_text.npz` (NumPy's format, without pickle), which may be deleted:

    source_lines target_lines    64-bit hashes of the lines as `plain` writes them, ascending, each once
    source_grams target_grams    the same of all runs of GRAM words: see hashes.py
    target_words target_counts   of the words of the target side, and how often each occurs
    every                        one in this many hashes is kept, for the first four: see `Sample`
"""

import io
import zipfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from data.config import DataConfig
from data.errors import InputError
from data.reporting import Report, ignore
from data.sources.corpus import Corpus
from data.sources.identity import text_key
from data.storage.cache import Cache
from dragoman.evaluation.hashes import (
    GRAM,
    GRAM_UNSPACED,
    Counts,
    Hashes,
    Sample,
    gram_hashes,
    is_in,
    line_hashes,
    look_up,
    word_hash,
)
from dragoman.translation.guard import words_of

FILE = "training_text.npz"
FORMAT = 1
CHUNK = 8192  # pairs that are in memory at once
MOST_LINES = 20_000_000  # hashes of a side that are kept: 160 MB
MOST_GRAMS = 10_000_000
MOST_WORDS = 8_000_000


class TrainingText(NamedTuple):
    """The hashes of a training text: see the top of the file."""

    lines: tuple[Hashes, Hashes]  # of the source and of the target side
    grams: tuple[Hashes, Hashes]
    every_line: tuple[int, int]
    every_gram: tuple[int, int]
    words: Hashes
    counts: Int[np.ndarray, " _"]

    def has_lines(self, lines: Sequence[str], *, side: int) -> Bool[np.ndarray, " _"]:
        """Whether the training text has each of these lines on a side, 0 or 1."""
        return is_in(line_hashes(lines), self.lines[side])

    def shares_grams(self, lines: Sequence[Sequence[str]], *, side: int) -> Bool[np.ndarray, " _"]:
        """Whether each of these lines, given as words, shares a run of GRAM words with a side of the training text."""
        grams = gram_hashes(lines)
        found = np.zeros(len(lines), np.bool_)
        found[grams.lines[is_in(grams.hashes, self.grams[side])]] = True
        return found

    def times(self, words: Sequence[str]) -> Int[np.ndarray, " _"]:
        """How often each word, as `words_of` writes it, occurs on the target side."""
        return look_up(np.fromiter(map(word_hash, words), np.uint64, len(words)), self.words, self.counts)

    def save(self, path: Path) -> None:
        """Writes the file."""
        every = np.array([FORMAT, *self.every_line, *self.every_gram], np.int64)
        lines, grams = (dict(zip(("source", "target"), pair, strict=True)) for pair in (self.lines, self.grams))
        arrays = {f"{side}_lines": array for side, array in lines.items()}
        arrays |= {f"{side}_grams": array for side, array in grams.items()}
        with path.open("wb") as file:
            np.savez(file, target_words=self.words, target_counts=self.counts, every=every, **arrays)

    @classmethod
    def load(cls, path: Path) -> "TrainingText":
        """The content of a file. InputError if it is damaged."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
                version, *every = found["every"].tolist()
                if version != FORMAT:
                    raise ValueError(f"its format is {version}, expected {FORMAT}")
                lines, grams = ((found[f"source_{name}"], found[f"target_{name}"]) for name in ("lines", "grams"))
                words, counts = found["target_words"], found["target_counts"]
                return cls(lines, grams, (every[0], every[1]), (every[2], every[3]), words, counts)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: cannot be used ({error}): delete it") from None


def remember(corpora: Sequence[Corpus], *, report: Report = ignore) -> TrainingText:
    """The hashes of a training text, by one pass over it. `report` gets the pairs and the words of each part."""
    lines, grams = ((Sample(most), Sample(most)) for most in (MOST_LINES, MOST_GRAMS))
    counts = Counts(MOST_WORDS)
    for corpus in corpora:
        for start in range(0, len(corpus.pairs), CHUNK):
            pairs = corpus.pairs[start : start + CHUNK]
            for side in (0, 1):
                texts = [pair[side] for pair in pairs]
                words = [words_of(text) for text in texts]
                lines[side].add(line_hashes(texts))
                grams[side].add(gram_hashes(words).hashes)
            counts.add(np.fromiter(map(word_hash, chain.from_iterable(words)), np.uint64))
            report(len(pairs), sum(map(len, words)))
    kept = [(one.hashes(), other.hashes()) for one, other in (lines, grams)]
    every = [(one.every, other.every) for one, other in (lines, grams)]
    return TrainingText(kept[0], kept[1], every[0], every[1], *counts.counted())


def prepared_training_text(config: DataConfig, corpora: Sequence[Corpus], *, report: Report = ignore) -> Path:
    """The file of a training text in the cache, which is made if it is not there."""
    key = [FORMAT, GRAM, GRAM_UNSPACED, text_key(corpora, config)]
    about = f"hashes of {', '.join(corpus.name for corpus in corpora)}"

    def build(directory: Path) -> None:
        remember(corpora, report=report).save(directory / FILE)

    return Cache(config.cache).entry("hashes", key, build, about=about) / FILE
