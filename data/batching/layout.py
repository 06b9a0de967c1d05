"""Rows of pairs to the arrays of a `Batch`, all rows at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data.batch import BOS, EOS, PAD, Batch, TokenPair
from data.batching.packing import Share
from data.tokens.ragged import PairTokens, Ragged, ranges, starts_of


def make_batch(
    rows: Sequence[Sequence[TokenPair]], *, source_length: int, target_length: int, rows_count: int
) -> Batch:
    """The rows as arrays, padded with empty rows to `rows_count`; Batch shows an example."""
    tokens = PairTokens.of([pair for row in rows for pair in row])
    members = Ragged(np.arange(len(tokens.source)), starts_of(np.array([len(row) for row in rows], np.int64)))
    return lay_out(members, tokens, source_length=source_length, target_length=target_length, rows_count=rows_count)


def make_share(rows: Ragged, tokens: PairTokens, share: Share, *, length: int) -> Batch:
    """The share's rows of a batch, as arrays. The rows hold indices of pairs."""
    mine = share.rows(len(rows))
    taken = rows.take(np.arange(min(mine.start, len(rows)), min(mine.stop, len(rows))))
    return lay_out(taken, tokens, source_length=length, target_length=length, rows_count=len(mine))


def lay_out(rows: Ragged, tokens: PairTokens, *, source_length: int, target_length: int, rows_count: int) -> Batch:
    """The rows, which hold indices of pairs, as arrays with `rows_count` rows."""
    source = _lay_out_side(rows, tokens.source, source_length, rows_count)
    labels, segments, positions = _lay_out_side(rows, tokens.target, target_length, rows_count)
    inputs = np.full_like(labels, PAD)
    inputs[:, 1:] = labels[:, :-1]
    inputs[(positions == 0) & (segments > 0)] = BOS
    inputs[segments == 0] = PAD
    return Batch(*source, inputs, labels, segments, positions)


def _lay_out_side(
    rows: Ragged, sentences: Ragged, length: int, rows_count: int
) -> tuple[Int[np.ndarray, "rows length"], Int[np.ndarray, "rows length"], Int[np.ndarray, "rows length"]]:
    """Tokens, segments and positions of rows of sentences. Each sentence is followed by EOS."""
    tokens, segments, positions = np.zeros((3, rows_count, length), np.int32)
    sizes = sentences.lengths(rows.values) + 1
    ends = np.cumsum(sizes)
    row_of = np.repeat(np.arange(len(rows)), np.diff(rows.starts))
    before = starts_of(sizes)[rows.starts[:-1]]  # the tokens in earlier rows
    first = ends - sizes - before[row_of] + row_of * length
    place = ranges(first, sizes)
    is_text = np.ones(len(place), np.bool_)
    is_text[ends - 1] = False
    tokens.reshape(-1)[place[is_text]] = sentences.take(rows.values).values
    tokens.reshape(-1)[place[~is_text]] = EOS
    segments.reshape(-1)[place] = np.repeat(np.arange(len(sizes)) - rows.starts[row_of] + 1, sizes)
    positions.reshape(-1)[place] = np.arange(len(place)) - np.repeat(ends - sizes, sizes)
    return tokens, segments, positions
