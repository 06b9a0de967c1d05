"""Batches from corpora: endless and shuffled for training, finite and complete for evaluation."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import grain

from data.batch import Batch, Pair
from data.batching.blocks import TrainingBatches
from data.batching.filters import keep_pairs, sides
from data.batching.order import Order
from data.batching.packing import Share, batch_shapes, empty_share, group_rows, make_share
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.vocabulary.tokenizer import Tokenizer

__all__ = ["Description", "EvaluationBatches", "Share", "batch_shapes", "describe", "empty_share"]
__all__ += ["evaluation_batches", "training_batches"]

PREFETCH = 64
WHOLE = Share()
CHUNK = 20000


def training_batches(
    corpora: Sequence[Corpus],
    tokenizer: Tokenizer,
    config: DataConfig,
    *,
    batch_tokens: int,
    seed: int,
    share: Share = WHOLE,
) -> grain.IterDataset[Batch]:
    """An endless stream of batches, prepared ahead in a thread. Every pair comes once an epoch.

    Pairs left over from a block are carried into the next. `batch_tokens` is for the whole batch. Each process builds
    the same batches and returns its own share of their rows, so neither the update nor a saved position depends on the
    number of devices and processes. Close the iterator when done.
    """
    shapes = batch_shapes(config, batch_tokens=batch_tokens)
    batches = TrainingBatches(
        corpora,
        tokenizer,
        config,
        rows_of={length: rows for rows, length, _ in shapes},
        seed=seed,
        share=share,
    )
    return grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=PREFETCH)


class EvaluationBatches(NamedTuple):
    """Batches that hold each pair once, and the number of pairs left out, by reason."""

    batches: list[Batch]
    dropped: dict[str, int]


class Description(NamedTuple):
    """The size of a training set: pairs kept, tokens on each side including EOS, and pairs dropped, by reason."""

    pairs: int
    source_tokens: int
    target_tokens: int
    dropped: dict[str, int]

    def lines(self) -> list[str]:
        """A few lines for a log."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count) or "none"
        return [
            f"{self.pairs} pairs, {self.source_tokens} source and {self.target_tokens} target tokens",
            f"pairs dropped: {dropped}",
        ]


def evaluation_batches(
    pairs: Sequence[Pair], tokenizer: Tokenizer, config: DataConfig, *, batch_tokens: int, share: Share = WHOLE
) -> EvaluationBatches:
    """The pairs in batches of the training shapes, without subword sampling.

    Empty rows fill the last batch of each shape. Each process gets its share of the rows of every batch. Only pairs
    with an empty side, or too long for any row, are left out.
    """
    tokens = tokenizer.encode_pairs(pairs)
    kept, dropped = keep_pairs(
        tokens, config.model_copy(update={"maximum_tokens": config.row_length, "maximum_side_ratio": 0.0})
    )
    tokens = [tokens[index] for index in kept]
    batches = []
    groups = group_rows(tokens, config)
    for count, length, _ in batch_shapes(config, batch_tokens=batch_tokens):
        rows = [[tokens[index] for index in row] for row in groups[length]]
        rows += [[]] * (-len(rows) % count)
        batches += [
            make_share(rows[start : start + count], share, length=length) for start in range(0, len(rows), count)
        ]
    return EvaluationBatches(batches, dict(dropped))


def describe(corpora: Sequence[Corpus], tokenizer: Tokenizer, config: DataConfig) -> Description:
    """The size of a training set: what is kept, and what sources and filters drop. This tokenises the whole set."""
    order = Order(corpora, config, seed=0)
    dropped = sum((Counter(corpus.dropped) for corpus in corpora), Counter(duplicate=order.duplicates))
    totals = Counter[str]()
    for start in range(0, len(order.chosen), CHUNK):
        pairs = tokenizer.encode_pairs(order.read(order.chosen[start : start + CHUNK].tolist()))
        kept, reasons = keep_pairs(pairs, config)
        dropped += reasons
        sizes = [sides(pairs[index]) for index in kept]
        totals.update(pairs=len(kept), source=sum(size[0] for size in sizes), target=sum(size[1] for size in sizes))
    return Description(totals["pairs"], totals["source"], totals["target"], dict(dropped))
