"""The endless stream of shuffled batches behind `training_batches`, which resumes exactly.

    draws of a block, and those carried into it -> texts -> tokens -> kept -> rows by length -> full batches, shuffled
                                                                                            -> left over, carried on

A block depends only on its number and on the draws carried into it. So the state of the stream is that number, those
draws, and the position among the block's batches.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Int

from data.batch import Batch, Pair, TokenPair
from data.batching.filters import Sizes, keep_pairs
from data.batching.layout import make_share
from data.batching.order import Draws, Order, derive_seed
from data.batching.packing import Share, emptiest_last, group_rows
from data.config import DataConfig
from data.errors import InputError
from data.sources.corpus import Corpus
from data.tokens.ragged import PairTokens, Ragged
from data.vocabulary.tokenizer import Tokenizer


class Drawn(NamedTuple):
    """The draws that the filters keep. The tokens of draw n are those at `indices[n]`."""

    draws: Draws
    tokens: PairTokens
    indices: Int[np.ndarray, " n"]


class Block(NamedTuple):
    """A block's drawn pairs, its full batches as (length, rows), and the draws left over.

    Rows hold indices into the drawn tokens.
    """

    drawn: Drawn
    batches: list[tuple[int, Ragged]]
    carried: "Carried"


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
        self.tokenizer, self.config, self.rows_of, self.seed, self.share = tokenizer, config, rows_of, seed, share
        self.order = Order(corpora, config, seed=seed)
        self.signature = {
            "seed": seed,
            "rows": [list(item) for item in rows_of.items()],
            "tokenizer": tokenizer.sha256,
            "corpora": [[corpus.fingerprint, corpus.weight] for corpus in corpora],
            **config.identity("orders_batches"),
        }

    def __iter__(self) -> "BatchIterator":
        return BatchIterator(self)

    def draw(self, draws: Draws) -> Drawn:
        """The draws that the filters keep, with their tokens. Subword sampling never changes which draws are kept."""
        texts = self.order.read(draws.pairs.tolist())
        pairs = self.tokenizer.encode_pairs(texts)
        tokens = PairTokens.of(pairs)
        kept, _ = keep_pairs(tokens.sizes(np.arange(len(pairs))), self.config)
        draws = draws.take(kept)
        if not self.config.subword_sampling:
            return Drawn(draws, tokens, kept)
        sampled = self._sample([texts[index] for index in kept], draws)
        limit = self.config.maximum_tokens
        chosen = [
            new if len(new.source) <= limit and len(new.target) < limit else pairs[n]
            for n, new in zip(kept, sampled, strict=True)
        ]
        return Drawn(draws, PairTokens.of(chosen), np.arange(len(chosen)))

    def _sample(self, texts: Sequence[Pair], draws: Draws) -> list[TokenPair]:
        rate = self.config.subword_sampling
        seeds = [[derive_seed(self.seed, *draw, side) for draw in draws.listed()] for side in (0, 1)]
        sources = self.tokenizer.encode_source([text.source for text in texts], sampling=rate, seeds=seeds[0])
        targets = self.tokenizer.encode_target([text.target for text in texts], sampling=rate, seeds=seeds[1])
        return [TokenPair(*pair) for pair in zip(sources, targets, strict=True)]

    def block(self, number: int, carried: Sequence[tuple[int, int]]) -> Block:
        """The batches of a block, in order."""
        drawn = self.draw(Draws.of(carried).followed_by(self.order.draws(number)))
        batches, left = self.plan(drawn.tokens.sizes(drawn.indices))
        batches = [(length, Ragged(drawn.indices[rows.values], rows.starts)) for length, rows in batches]
        shuffled = sorted(range(len(batches)), key=lambda index: derive_seed(self.seed, number, index))
        return Block(drawn, [batches[index] for index in shuffled], Carried(drawn.draws.take(left).listed()))

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
        self._number = 0
        self._next = 0
        self._carried = Carried()
        self._block: Block | None = None
        self._idle = 0

    def __next__(self) -> Batch:
        while True:
            block = self._block = self._block or self._dataset.block(self._number, self._carried)
            if self._next < len(block.batches):
                break
            self._advance(block)
        length, rows = block.batches[self._next]
        self._next += 1
        return make_share(rows, block.drawn.tokens, self._dataset.share, length=length)

    def _advance(self, block: Block) -> None:
        """Moves to the next block. Raises InputError after an epoch in which the filters kept nothing."""
        self._idle = 0 if len(block.drawn.indices) else self._idle + 1
        if self._idle >= self._dataset.order.blocks_per_epoch:
            raise InputError("no training pair passes the filters: see data.maximum_tokens and data.maximum_side_ratio")
        self._number, self._next, self._carried, self._block = self._number + 1, 0, block.carried, None

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
            key = differing[0]
            raise InputError(
                f"the saved position in the data does not fit: different {', '.join(differing)} ({key}: saved "
                f"{found.get(key)}, now {expected.get(key)}): resume with the original ones, or start a new run"
            )
        self._number, self._next, self._block = state["block"], state["next"], None
        self._carried = Carried((epoch, pair) for epoch, pair in state["carried"])
