"""The order in which training pairs are drawn, a function of the seed. Any block of it can be computed alone."""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.batching.chosen import choose, split
from data.batching.permutation import permute
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus, fetch
from data.tokens.redraw import derive_seed


class Draws(NamedTuple):
    """Drawn pairs: of each, the number of the pass over its corpus, and its index in the concatenated corpora."""

    epochs: Int[np.ndarray, " n"]
    pairs: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, listed: Iterable[Sequence[int]]) -> "Draws":
        """The draws of a list of [epoch, pair]."""
        columns = np.array(list(listed), np.int64).reshape(-1, 2)
        return cls(columns[:, 0], columns[:, 1])

    def listed(self) -> list[tuple[int, int]]:
        """The draws as tuples (epoch, pair)."""
        return list(zip(self.epochs.tolist(), self.pairs.tolist(), strict=True))

    def take(self, indices: Int[np.ndarray, " n"]) -> "Draws":
        """The draws at these indices."""
        return Draws(self.epochs[indices], self.pairs[indices])

    def followed_by(self, other: "Draws") -> "Draws":
        """These draws and then the others."""
        return Draws(*(np.concatenate(both) for both in zip(self, other, strict=True)))


class Order:
    """An order with every pair of every corpus once an epoch, reshuffled each epoch. Blocks never cross epochs.

    With weights, each block instead holds a fixed share of every corpus, and each corpus has its own epochs.
    """

    def __init__(self, corpora: Sequence[Corpus], config: DataConfig, *, seed: int):
        self._corpora = corpora
        self._seed = seed
        self._starts = np.cumsum([0, *(len(corpus.pairs) for corpus in corpora)])
        self.chosen = choose(corpora, config)
        self.duplicates = int(self._starts[-1]) - len(self.chosen)
        weights = [corpus.weight for corpus in corpora if corpus.weight is not None]
        self._parts, self._shares = [self.chosen], [0]
        if weights:
            self._parts = split(self.chosen, self._starts)
            size = min(config.shuffle_block, len(self.chosen))
            self._shares = [max(1, round(size * weight / sum(weights))) for weight in weights]
        if not all(map(len, self._parts)):
            raise InputError(f"no training data: {', '.join(c.name for c in corpora)}: no pairs, or only duplicates")
        self._is_weighted = bool(weights)
        self.blocks_per_epoch = -(-max(map(len, self._parts)) // config.shuffle_block)

    def draws(self, block: int) -> Draws:
        """The draws of a block. With weights, they are grouped by corpus; batches are shuffled later."""
        if self._is_weighted:
            parts = [self._draw(part, block * share, (block + 1) * share) for part, share in enumerate(self._shares)]
            return functools.reduce(Draws.followed_by, parts)
        epoch, part = divmod(block, self.blocks_per_epoch)
        size = len(self.chosen)
        first, last = (size * n // self.blocks_per_epoch for n in (part, part + 1))
        return self._draw(0, epoch * size + first, epoch * size + last)

    def _draw(self, part: int, first: int, last: int) -> Draws:
        """The draws at these positions of a part's own endless order."""
        chosen = self._parts[part]
        epochs, offsets = np.divmod(np.arange(first, last), len(chosen))
        pairs = np.empty(len(epochs), np.int64)
        for epoch in np.unique(epochs).tolist():
            seed = derive_seed(self._seed, part, epoch)
            pairs[epochs == epoch] = chosen[permute(offsets[epochs == epoch], len(chosen), seed)]
        return Draws(epochs, pairs)

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """The text of the pairs at these indices of the concatenated corpora."""
        wanted = np.array(indices, np.int64)
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        result: list[Pair] = [Pair("", "")] * len(wanted)
        for number, corpus in enumerate(self._corpora):
            places = np.flatnonzero(owners == number)
            for place, pair in zip(
                places, fetch(corpus.pairs, (wanted[places] - self._starts[number]).tolist()), strict=True
            ):
                result[place] = pair
        return result
