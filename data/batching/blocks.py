"""The endless stream of shuffled batches behind `training_batches`, which resumes exactly.

    draws of a block, and those carried into it -> sizes -> kept -> rows by length -> full batches, shuffled
                                                                                  -> left over, carried on

A block depends only on its number and on the draws carried into it. So the state of the stream is that number, those
draws, and the position among the block's batches. The tokens of a block are read at once, in the order of the files:
from a large text, that is 1.5 times as fast as reading them batch by batch (docs/data.md).

With subword sampling, sizes differ from draw to draw. Worker processes then draw the tokens of a block while batches
are made of the one before; what they draw depends on the seed and the draw alone.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Int

from data.batch import Batch
from data.batching.augmentation import Augmentation
from data.batching.filters import Sizes, keep_pairs
from data.batching.layout import make_share
from data.batching.order import Draws, Order
from data.batching.packing import Share, emptiest_last, group_rows
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus
from data.tokens.ragged import PairTokens, Ragged, join
from data.tokens.redraw import Redraw, ToDraw, derive_seed
from data.tokens.store import open_store
from data.tokens.workers import Workers
from data.vocabulary.tokenizer import Tokenizer

CHUNK = 8192  # draws, at most, that a worker is given at once
FEW = 20_000  # pairs for which worker processes are not worth their start
MOST_WORKERS = 8
SUBWORD_DRAWS = AUGMENTATION_DRAWS = 2
"""Versions of how subword samples are drawn and text is disturbed. A position that was saved under another version is
rejected; the first version had no number."""


class Requested(NamedTuple):
    """Some draws that the filters keep, and their future tokens in parts; no parts if tokens are those of the text."""

    draws: Draws
    tokens: list[Future[PairTokens]]


class Block(NamedTuple):
    """The tokens of a block, its full batches as (length, rows), the draws left over, and how many pairs all of it is.

    Rows hold indices into the tokens.
    """

    tokens: PairTokens
    batches: list[tuple[int, Ragged]]
    carried: Draws
    pairs: int


class Carried(list[tuple[int, int]]):
    """Draws carried into the next block. The list never changes, so copies of a state share it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Carried":
        return self


class TrainingBatches(grain.IterDataset[Batch]):
    """An endless stream of batches. Its iterators resume exactly, after any batch and in any process."""

    def __init__(
        self,
        corpora: Sequence[Corpus],
        tokenizer: Tokenizer,
        config: DataConfig,
        *,
        rows_of: dict[int, int],
        seed: int,
        share: Share,
    ):
        super().__init__()
        self.config, self.rows_of, self.seed, self.share = config, rows_of, seed, share
        self.order = Order(corpora, config, seed=seed)
        self.store = open_store(corpora, tokenizer, config)
        self.redraw = Redraw(self.store.directory, tokenizer, config, seed=seed, change=Augmentation.of(config))
        self.signature = {
            "seed": seed,
            "rows": [list(item) for item in rows_of.items()],
            "tokenizer": tokenizer.sha256,
            "corpora": [[corpus.fingerprint, corpus.weight] for corpus in corpora],
            **config.identity("orders_batches"),
            **({"subword_draws": SUBWORD_DRAWS} if config.subword_sampling else {}),
            **({"augmentation_draws": AUGMENTATION_DRAWS} if self.redraw.needs_text else {}),
        }

    @property
    def workers(self) -> int:
        """The number of worker processes: none where tokens are those of the text."""
        if not self.redraw.is_needed:
            return 0
        if self.config.workers != "auto":
            return self.config.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return 0 if len(self.order.chosen) < FEW else min(max(1, cores // 2), MOST_WORKERS)

    def __iter__(self) -> "BatchIterator":
        return BatchIterator(self)

    def fresh(self, number: int, workers: Workers) -> Requested:
        """The block's own draws that the filters keep. Their tokens are drawn in the background.

        The tokens of the text decide what is kept, so that every epoch keeps the same pairs.
        """
        draws = self.order.draws(number)
        sizes = self.store.sizes(draws.pairs)
        return self.request(draws.take(keep_pairs(sizes, self.config)[0]), workers)

    def request(self, draws: Draws, workers: Workers) -> Requested:
        """Draws whose tokens are drawn in the background, if they are not simply those of the text.

        Parts do not depend on the number of workers, because a pair may be joined to another of its part.
        """
        if not self.redraw.is_needed:
            return Requested(draws, [])
        count = max(1, -(-len(draws.pairs) // CHUNK))
        parts = [draws.take(part) for part in np.array_split(np.arange(len(draws.pairs)), count)]
        read = self.order.read if self.redraw.needs_text else None
        return Requested(draws, workers.submit([ToDraw(*part, read and read(part.pairs.tolist())) for part in parts]))

    def block(self, number: int, carried: Requested, fresh: Requested) -> Block:
        """The batches of a block, in order, from the draws carried into it and its own."""
        draws = carried.draws.followed_by(fresh.draws)
        if self.redraw.is_needed and len(draws.pairs):
            tokens = join([part.result() for part in (*carried.tokens, *fresh.tokens)])
        else:
            tokens = self.store.read(draws.pairs)
        batches, left = self.plan(tokens.sizes(np.arange(len(draws.pairs))))
        shuffled = sorted(range(len(batches)), key=lambda index: derive_seed(self.seed, number, index))
        return Block(tokens, [batches[index] for index in shuffled], draws.take(left), len(draws.pairs))

    def plan(self, sizes: Sizes) -> tuple[list[tuple[int, Ragged]], Int[np.ndarray, " left"]]:
        """Full batches as (length, rows), and the pairs in no full batch, from the sizes of a block's pairs."""
        batches: list[tuple[int, Ragged]] = []
        left = [np.zeros(0, np.int64)]
        for length, rows in group_rows(sizes, self.config).items():
            count = self.rows_of[length]
            full = len(rows) // count * count
            if self.config.batching == "packed":
                rows = rows.take(emptiest_last(rows, sizes, len(rows) - full))
            batches += [(length, rows.slice(start, start + count)) for start in range(0, full, count)]
            left.append(rows.slice(full, len(rows)).values)
        return batches, np.concatenate(left)


class BatchIterator(grain.DatasetIterator[Batch]):
    """A position in the stream: a block, the draws carried into it, and the index of its next batch."""

    def __init__(self, dataset: TrainingBatches):
        super().__init__()
        self._dataset = dataset
        self._workers = Workers(dataset.redraw, dataset.workers)
        self._go_to(0, 0, Draws.of([]))
        self._idle = 0

    def _go_to(self, number: int, next_batch: int, carried: Draws) -> None:
        self._number, self._next, self._draws, self._carried = number, next_batch, carried, Carried(carried.listed())
        self._block: Block | None = None
        self._ahead: tuple[int, Requested] | None = None

    def __next__(self) -> Batch:
        while True:
            block = self._block = self._block or self._make_block()
            if self._next < len(block.batches):
                break
            self._advance(block)
        length, rows = block.batches[self._next]
        self._next += 1
        return make_share(rows, block.tokens, self._dataset.share, length=length)

    def _make_block(self) -> Block:
        """The block at the position. Workers begin to draw the tokens of the next."""
        dataset, number = self._dataset, self._number
        carried = dataset.request(self._draws, self._workers)
        if self._ahead is None or self._ahead[0] != number:
            self._ahead = (number, dataset.fresh(number, self._workers))
        fresh = self._ahead[1]
        if dataset.workers:
            self._ahead = (number + 1, dataset.fresh(number + 1, self._workers))
        return dataset.block(number, carried, fresh)

    def _advance(self, block: Block) -> None:
        """Moves to the next block. Raises InputError after an epoch in which the filters kept nothing."""
        self._idle = 0 if block.pairs else self._idle + 1
        if self._idle >= self._dataset.order.blocks_per_epoch:
            raise InputError("no training pair passes the filters: see data.maximum_tokens and data.maximum_side_ratio")
        ahead = self._ahead
        self._go_to(self._number + 1, 0, block.carried)
        self._ahead = ahead

    def close(self) -> None:
        """Ends the worker processes."""
        super().close()
        self._workers.close()

    def get_state(self) -> dict[str, Any]:
        """The position as a JSON object. The states of a block share one list of carried draws."""
        return {
            "signature": self._dataset.signature,
            "block": self._number,
            "next": self._next,
            "carried": self._carried,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues where `get_state` was called. Raises InputError if the data or the rows have changed since then."""
        found, expected = state["signature"], self._dataset.signature
        if differing := sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)):
            if set(differing) <= {"subword_draws", "augmentation_draws"}:
                raise InputError(
                    "the saved position in the data does not fit: this version of Dragoman draws subword samples "
                    "(data.subword_sampling) or disturbs text (data.augment_...) differently from the version that the "
                    "run began with: resume with that version, or start a new run"
                )
            key = differing[0]
            raise InputError(
                f"the saved position in the data does not fit: different {', '.join(differing)} ({key}: saved "
                f"{found.get(key)}, now {expected.get(key)}): resume with the original ones, or start a new run"
            )
        self._go_to(state["block"], state["next"], Draws.of(state["carried"]))
