"""Batches from corpora: endless and shuffled for training, finite and complete for evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

import grain
import numpy as np

from data.batch import Batch, Pair
from data.batching.blocks import TrainingBatches
from data.batching.filters import keep_pairs
from data.batching.layout import make_share
from data.batching.packing import Share, batch_shapes, group_rows
from data.config import DataConfig
from data.sources.corpus import Corpus, clean_pair
from data.tokens.ragged import PairTokens, Ragged
from data.vocabulary.tokenizer import Tokenizer

PREFETCH = 64
WHOLE = Share()


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


def evaluation_batches(
    pairs: Sequence[Pair], tokenizer: Tokenizer, config: DataConfig, *, batch_tokens: int, share: Share = WHOLE
) -> EvaluationBatches:
    """The pairs in batches of the training shapes, without subword sampling.

    Empty rows fill the last batch of each shape. Each process gets its share of the rows of every batch. Only pairs
    with an empty side, or too long for any row, are left out.
    """
    if config.cleaning == "all":
        pairs = [clean_pair(pair) for pair in pairs]
    tokens = PairTokens.of(tokenizer.encode_pairs(pairs))
    sizes = tokens.sizes(np.arange(len(pairs)))
    kept, dropped = keep_pairs(
        sizes, config.model_copy(update={"maximum_tokens": config.row_length, "maximum_side_ratio": 0.0})
    )
    batches = []
    groups = group_rows(sizes[kept], config)
    for count, length, _ in batch_shapes(config, batch_tokens=batch_tokens):
        rows = Ragged(kept[groups[length].values], groups[length].starts).padded(count)
        batches += [
            make_share(rows.slice(start, start + count), tokens, share, length=length)
            for start in range(0, len(rows), count)
        ]
    return EvaluationBatches(batches, dict(dropped))
