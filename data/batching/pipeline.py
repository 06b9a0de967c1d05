"""Batches from corpora: endless and shuffled for training, finite and complete for evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

import grain

from data.batch import Batch, Pair
from data.batching.blocks import TrainingBatches
from data.batching.filters import keep_pairs
from data.batching.packing import Share, batch_shapes, group_rows, make_share
from data.config import DataConfig
from data.sources.corpus import Corpus
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
