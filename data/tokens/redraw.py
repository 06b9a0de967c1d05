"""The tokens of drawn pairs where they differ from draw to draw: subword sampling, and changes of the text itself.

The tokens of a draw depend on the seed, the draw, and, where pairs are joined, on the draws around it, so it does not
matter which process computes them, or when.
"""

import functools
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.config import DataConfig
from data.tokens.ragged import PairTokens, Ragged
from data.tokens.store import TokenStore
from data.vocabulary.tokenizer import Tokenizer

Change = Callable[[Sequence[Pair], Sequence[random.Random]], list[Pair]]
"""A pure function of pairs and a generator for each: the pairs with other texts. It is sent to other processes."""


class ToDraw(NamedTuple):
    """Some draws, as arrays, and the texts of their pairs, if the text is to be changed."""

    epochs: Int[np.ndarray, " n"]
    pairs: Int[np.ndarray, " n"]
    texts: Sequence[Pair] | None


class Redraw:
    """A function of draws that returns their tokens. It can be sent to another process, which opens the store again."""

    def __init__(
        self, store: Path, tokenizer: Tokenizer, config: DataConfig, *, seed: int, change: Change | None = None
    ):
        self._store, self._tokenizer, self._config, self._seed = store, tokenizer, config, seed
        self.change = change

    @property
    def is_needed(self) -> bool:
        """Whether tokens differ from draw to draw."""
        return self.needs_text or self._config.subword_sampling > 0

    @property
    def needs_text(self) -> bool:
        """Whether draws must bring the text of their pairs."""
        return self.change is not None

    @functools.cached_property
    def _stored(self) -> TokenStore:
        return TokenStore(self._store)

    def __call__(self, drawn: ToDraw) -> PairTokens:
        """The tokens of the draws. A pair keeps the tokens of its text if a side becomes empty or too long."""
        plain = [side.take(drawn.pairs).lists() for side in self._stored.tokens]
        self._stored.note_use(len(drawn.pairs))
        changed = self._changed(drawn) if self.change else plain
        rate = self._config.subword_sampling
        sides = [
            self._tokenizer.resample("source", changed[0], rate, self._seeds(drawn, 0)),
            self._tokenizer.resample("target", changed[1], rate, self._seeds(drawn, 1)),
        ]
        for place, pair in enumerate(zip(*sides, strict=True)):
            if not all(0 < len(ids) < self._config.maximum_tokens for ids in pair):
                sides[0][place], sides[1][place] = plain[0][place], plain[1][place]
        dtype = self._stored.tokens.source.values.dtype
        return PairTokens(*(Ragged.of(side, dtype) for side in sides))

    def _seeds(self, drawn: ToDraw, purpose: int) -> list[int]:
        draws = zip(drawn.epochs.tolist(), drawn.pairs.tolist(), strict=True)
        return [derive_seed(self._seed, epoch, pair, purpose) for epoch, pair in draws]

    def _changed(self, drawn: ToDraw) -> list[list[list[int]]]:
        """The ids of the changed texts, for each side."""
        assert self.change
        assert drawn.texts is not None
        seeds = self._seeds(drawn, 2)
        pairs = self.change(drawn.texts, [random.Random(seed) for seed in seeds])
        return [
            self._tokenizer.encode_plain("source", [pair.source for pair in pairs]),
            self._tokenizer.encode_plain("target", [pair.target for pair in pairs]),
        ]


def derive_seed(*numbers: int) -> int:
    """A 32-bit seed from integers, the same in every process and version."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
