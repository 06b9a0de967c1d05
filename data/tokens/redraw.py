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
from data.random_numbers import Keys, keys_of
from data.tokens.ragged import PairTokens, Ragged, join
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
        if config.subword_sampling:
            tokenizer.check_sampling()

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
        plain = self._stored.read(drawn.pairs)
        new = self._changed(drawn) if self.change else plain
        if rate := self._config.subword_sampling:
            new = PairTokens(
                self._tokenizer.resample("source", new.source, rate, self._keys(drawn, 0)),
                self._tokenizer.resample("target", new.target, rate, self._keys(drawn, 1)),
            )
        sizes = new.sizes(np.arange(len(drawn.pairs)))
        fits = (sizes.min(axis=1) > 1) & (sizes.max(axis=1) <= self._config.maximum_tokens)
        chosen = np.arange(len(fits)) + np.where(fits, 0, len(fits))
        return PairTokens(*(side.take(chosen) for side in join([new, plain])))

    def _keys(self, drawn: ToDraw, side: int) -> Keys:
        return keys_of(self._seed, drawn.epochs, drawn.pairs, side)

    def _changed(self, drawn: ToDraw) -> PairTokens:
        """The ids of the changed texts."""
        assert self.change
        assert drawn.texts is not None
        draws = zip(drawn.epochs.tolist(), drawn.pairs.tolist(), strict=True)
        pairs = self.change(drawn.texts, [random.Random(derive_seed(self._seed, *draw, 2)) for draw in draws])
        dtype = self._stored.tokens.source.values.dtype
        return PairTokens(
            Ragged.of(self._tokenizer.encode_plain("source", [pair.source for pair in pairs]), dtype),
            Ragged.of(self._tokenizer.encode_plain("target", [pair.target for pair in pairs]), dtype),
        )


def derive_seed(*numbers: int) -> int:
    """A 32-bit seed from integers, the same in every process and version."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
