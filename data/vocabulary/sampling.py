"""Subword regularisation: other ways to split text into pieces, drawn with a key for each line.

SentencePiece 0.2.3 can sample too, but seeds its generator differently in each process, so a resumed run could not
repeat its draws. With unigram models, the distribution here is SentencePiece's; with BPE, that of the paper.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Int

from data.errors import InputError
from data.random_numbers import Keys, keys_of
from data.tokens.ragged import Ragged, concatenate
from data.vocabulary.dropout import MergeDropout
from data.vocabulary.lattice import UnigramLattice
from data.vocabulary.model_file import KIND, TRAINER
from data.vocabulary.pieces import SPACE

LONGEST = 16  # pieces of a word that are drawn together: in scripts without spaces, a line is one word


class Segmenter(Protocol):
    """A distribution of the segmentations of a word."""

    def draw(self, words: Ragged, keys: Keys) -> tuple[Int[np.ndarray, " changed"], Ragged]:
        """The indices of the words that are now segmented differently, and their new ids. Each word has its key."""


SEGMENTERS: dict[int, Callable[[Sequence[str | None], Sequence[float], float], Segmenter]] = {
    TRAINER.UNIGRAM: UnigramLattice,
    TRAINER.BPE: MergeDropout,
}


def segmenter_for(model: Any) -> Callable[[Sequence[str | None], Sequence[float], float], Segmenter]:
    """Makes the segmenter of a model from pieces, scores and rate. InputError for one that has no segmenter."""
    kind = model.trainer_spec.model_type
    if kind not in SEGMENTERS:
        name = TRAINER.ModelType.Name(kind).lower()
        raise InputError(
            f"data.subword_sampling: the vocabulary is a SentencePiece model of type {name}, and only those of type "
            "bpe and unigram can be sampled from: set it to 0, or take another vocabulary"
        )
    return SEGMENTERS[kind]


class SubwordSampler:
    """Draws segmentations: BPE-dropout, or samples of a unigram model, with the recipe's `rate`.

    They spell the same text, and leave bytes, unknown pieces and the reserved symbols unchanged. Words of more than
    16 pieces are drawn in parts of 16.
    """

    def __init__(self, model: Any, rate: float):
        make = segmenter_for(model)
        pieces = [piece.piece if piece.type == KIND.NORMAL else None for piece in model.pieces]
        scores = [piece.score for piece in model.pieces]
        self._is_normal = np.array([piece is not None for piece in pieces])
        self._is_start = np.array([piece is None or piece.startswith(SPACE) for piece in pieces])
        self._segmenter = make(pieces, scores, rate)

    def draw(self, lines: Ragged, keys: Keys) -> Ragged:
        """Other ids for the same text. Those of a line depend only on its key and its ids."""
        starts = self._word_starts(lines)
        words = Ragged(lines.values.astype(np.int64), np.append(starts, len(lines.values)))
        first = np.searchsorted(starts, lines.starts)  # the first word of each line, and the number of all
        counts = np.diff(first)
        line_keys = np.repeat(keys, counts)
        places = np.arange(len(words)) - np.repeat(first[:-1], counts)
        drawable = np.flatnonzero(self._is_normal[lines.values[starts]])
        changed, drawn = self._segmenter.draw(words.take(drawable), keys_of(line_keys, places)[drawable])
        source = np.arange(len(words))
        source[drawable[changed]] = len(words) + np.arange(len(changed))
        result = concatenate([words, drawn]).take(source)
        return Ragged(result.values.astype(lines.values.dtype), result.starts[first])

    def _word_starts(self, lines: Ragged) -> Int[np.ndarray, " words"]:
        """Where the parts of words begin that are drawn together. A piece that stays unchanged is a part by itself."""
        is_start: Bool[np.ndarray, " tokens"] = self._is_start[lines.values]
        is_start[1:] |= ~self._is_normal[lines.values[:-1]]
        is_start[lines.starts[:-1][np.diff(lines.starts) > 0]] = True
        places = np.arange(len(is_start))
        since = places - np.maximum.accumulate(np.where(is_start, places, 0))
        return np.flatnonzero(is_start | (since % LONGEST == 0))
