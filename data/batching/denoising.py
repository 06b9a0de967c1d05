"""Batches for restoring text: one side of each row, with some of its tokens masked or replaced.

A row is corrupted by a generator of its own, seeded by the row's tokens and by how many batches came before. So it is
the same on any number of devices and processes, and differs when the same text comes again.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from data.batch import BOS, EOS, Batch
from data.config import DataConfig
from data.vocabulary.pieces import SPACE
from data.vocabulary.tokenizer import Tokenizer

MASK = BOS
"""The id that stands for a masked token: an encoder reads no other BOS."""

MASKED, REPLACED = 0.8, 0.1
"""Of the tokens to restore: the share that is masked, and that replaced by any token. The rest stays as it is, so that
the features of every token must tell what it is (Devlin et al. 2019, section 3.1)."""


@dataclass(frozen=True)
class Denoising:
    """What is done to batches: which sides are read, and which of their tokens must be restored."""

    sides: str  # "source", "target" or "both"
    share: float
    begins_word: Bool[np.ndarray, " V"] | None  # the pieces with which a word begins; None: each token by itself
    vocabulary: int
    seed: int

    @classmethod
    def of(cls, config: DataConfig, tokenizer: Tokenizer, *, seed: int) -> "Denoising":
        """What a recipe says."""
        pieces = tokenizer.source_vocabulary()
        starts = np.array([piece.startswith(SPACE) or id_ <= EOS for id_, piece in enumerate(pieces)])
        whole = starts if config.denoise_whole_words else None
        return cls(config.denoise_sides, config.denoise_share, whole, len(pieces), seed)

    def corrupt(self, batch: Batch, number: int) -> Batch:
        """Batch `number` as one to restore: corrupted text as the source, and as the target the tokens to restore.

        Positions that need not be restored are padding of the target. With "d" replaced and "b" masked:

            a b c </s> d e </s>  ->  source           a <s> c </s> x e </s>
                                     target_labels    a  b  c </s> d e </s>
                                     target_segments  0  1  0  0   2 0  0
        """
        rows = [self._row(batch, row, number) for row in range(len(batch.source))]
        return Batch(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def _row(self, batch: Batch, row: int, number: int) -> Batch:
        tokens = np.concatenate([batch.source[row], batch.target_labels[row]])
        random = np.random.default_rng([self.seed, number, zlib.crc32(tokens.tobytes())])
        is_source = self.sides == "source" or (self.sides == "both" and random.random() < 0.5)
        text, segments, positions = (
            (batch.source[row], batch.source_segments[row], batch.source_positions[row])
            if is_source
            else (batch.target_labels[row], batch.target_segments[row], batch.target_positions[row])
        )
        chosen = self._chosen(text, segments, random)
        how = random.random(len(text))
        masked, replaced = how < MASKED, (how >= MASKED) & (how < MASKED + REPLACED)
        corrupted = np.where(chosen & masked, MASK, text)
        others = random.integers(EOS + 1, self.vocabulary, len(text))
        corrupted = np.where(chosen & replaced, others, corrupted).astype(np.int32)
        restored = np.where(chosen, segments, 0).astype(np.int32)
        return Batch(corrupted, segments, positions, corrupted, text, restored, positions)

    def _chosen(
        self, text: Int[np.ndarray, " T"], segments: Int[np.ndarray, " T"], random: np.random.Generator
    ) -> Bool[np.ndarray, " T"]:
        """The tokens to restore: of a sentence, never its end."""
        drawn = random.random(len(text)) < self.share
        if self.begins_word is not None:
            starts = self.begins_word[text]
            starts[0] = True
            drawn = drawn[np.maximum.accumulate(np.where(starts, np.arange(len(text)), 0))]
        return drawn & (segments != 0) & (text != EOS)


class CorruptedBatches:
    """An iterator over training batches, each corrupted, which knows its position as they do."""

    def __init__(self, batches: Any, denoising: Denoising):
        self._batches, self._denoising, self._number = batches, denoising, 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self._number += 1
        return self._denoising.corrupt(next(self._batches), self._number)

    def get_state(self) -> dict[str, Any]:
        """The position, as a JSON object."""
        return {"batches": self._batches.get_state(), "number": self._number}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues where `get_state` was called."""
        self._batches.set_state(state["batches"])
        self._number = state["number"]

    def close(self) -> None:
        """Ends the threads and processes behind the batches."""
        self._batches.close()
