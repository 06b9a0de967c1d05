"""Rows of token pairs, and rows as a Batch. Packed rows hold several pairs; bucketed rows hold one, in few lengths."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.batch import BOS, EOS, PAD, Batch, TokenPair
from data.batching.filters import sides
from data.config import DataConfig
from data.errors import InputError

SHORTEST = 8
OPEN_ROWS = 64

Row = list[int]


def bucket_lengths(row_length: int) -> list[int]:
    """The lengths of bucketed rows, in steps of at least 4 that grow: 8 12 16 20 24 28 32 40 ... row_length."""
    lengths = [SHORTEST]
    while lengths[-1] < row_length:
        lengths.append(lengths[-1] + max(4, lengths[-1] // 16 * 4))
    return [length for length in lengths if length < row_length] + [row_length]


def bucket_of(pair: TokenPair, lengths: Sequence[int]) -> int:
    """The shortest of the lengths that fits both sides: lengths 8, 12 and sides of 5 and 9 -> 12."""
    return lengths[bisect_left(lengths, max(sides(pair)))]


def pack(pairs: Sequence[TokenPair], row_length: int) -> list[Row]:
    """Rows of indices. Each pair joins the first open row with room on both sides, or else opens a new one.

    At most 64 rows are open; beyond that, the fullest is closed. Sides of (3, 2), (4, 4), (2, 2) in rows of 5:

        [[0, 2], [1]]
    """
    rows: list[Row] = []
    open_rows: list[Row] = []
    room = np.zeros((0, 2), np.int64)
    for index, pair in enumerate(pairs):
        size = np.array(sides(pair))
        fits = np.all(room >= size, axis=1)
        place = int(fits.argmax()) if len(room) else 0
        if not len(room) or not fits[place]:
            if len(room) == OPEN_ROWS:
                fullest = int(room.min(axis=1).argmin())
                del open_rows[fullest]
                room = np.delete(room, fullest, axis=0)
            rows.append([])
            open_rows.append(rows[-1])
            room = np.append(room, [[row_length, row_length]], axis=0)
            place = len(room) - 1
        open_rows[place].append(index)
        room[place] -= size
    return rows


def batch_shapes(config: DataConfig, *, batch_tokens: int) -> list[tuple[int, int, int]]:
    """Every (rows, source length, target length) of a batch, with as many rows as fit in `batch_tokens`."""
    lengths = [config.row_length] if config.batching == "packed" else bucket_lengths(config.row_length)
    if batch_tokens < config.row_length:
        raise InputError(
            f"training.batch_tokens is {batch_tokens}, too few for one row of data.row_length {config.row_length}: "
            f"set at least {config.row_length}, or shorter rows"
        )
    return [(batch_tokens // length, length, length) for length in lengths]


class Share(NamedTuple):
    """The rows of each batch that a process takes: number `part`, counted from 0, of `parts` equal shares.

    Empty rows first fill the batch to a multiple of `row_multiple`. With 6 rows, multiple 4, and part 1 of 2, the share
    is rows 4 and 5, and two empty ones. So the rows of an update are the same on any number of devices.
    """

    part: int = 0
    parts: int = 1
    row_multiple: int = 1

    def rows(self, total: int) -> range:
        """The indices of the share's rows in a batch of `total` rows; indices from `total` on are empty rows."""
        size = (total + -total % self.row_multiple) // self.parts
        return range(self.part * size, (self.part + 1) * size)


def empty_share(shapes: Sequence[tuple[int, int, int]], row_multiple: int) -> float:
    """The largest fraction of empty rows in a batch of any shape. 6 rows and a multiple of 4 -> 0.25."""
    return max((-rows % row_multiple) / (rows + -rows % row_multiple) for rows, _, _ in shapes)


def group_rows(pairs: Sequence[TokenPair], config: DataConfig) -> dict[int, list[Row]]:
    """Rows of indices into the pairs, by row length. Packed rows have one length; bucketed rows hold one pair each."""
    if config.batching == "packed":
        return {config.row_length: pack(pairs, config.row_length)}
    lengths = bucket_lengths(config.row_length)
    groups: dict[int, list[Row]] = {length: [] for length in lengths}
    for index, pair in enumerate(pairs):
        groups[bucket_of(pair, lengths)].append([index])
    return groups


def emptiest_last(rows: list[Row], pairs: Sequence[TokenPair], spare: int) -> list[Row]:
    """The rows in order, with the `spare` emptiest moved to the end, where repacking them gains most."""
    filled = [sum(max(sides(pairs[index])) for index in row) for row in rows]
    emptiest = set(np.argsort(filled, kind="stable")[:spare].tolist())
    return [row for n, row in enumerate(rows) if n not in emptiest] + [rows[n] for n in sorted(emptiest)]


def make_share(rows: Sequence[Sequence[TokenPair]], share: Share, *, length: int) -> Batch:
    """The share's rows of a batch, as arrays."""
    mine = share.rows(len(rows))
    return make_batch(rows[mine.start : mine.stop], source_length=length, target_length=length, rows_count=len(mine))


def make_batch(
    rows: Sequence[Sequence[TokenPair]], *, source_length: int, target_length: int, rows_count: int
) -> Batch:
    """The rows as arrays, padded with empty rows to `rows_count`; Batch shows an example."""
    source = _lay_out([[pair.source for pair in row] for row in rows], source_length, rows_count)
    labels = _lay_out([[[*pair.target, EOS] for pair in row] for row in rows], target_length, rows_count)
    inputs, segments, positions = np.full_like(labels[0], PAD), labels[1], labels[2]
    inputs[:, 1:] = labels[0][:, :-1]
    inputs[(positions == 0) & (segments > 0)] = BOS
    inputs[segments == 0] = PAD
    return Batch(*source, inputs, labels[0], segments, positions)


def _lay_out(
    rows: Sequence[Sequence[Sequence[int]]], length: int, rows_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, segments and positions of rows, each of which concatenates sentences."""
    tokens, segments, positions = np.zeros((3, rows_count, length), np.int32)
    for n, row in enumerate(rows):
        start = 0
        for segment, sentence in enumerate(row, start=1):
            place = slice(start, start + len(sentence))
            tokens[n, place] = sentence
            segments[n, place] = segment
            positions[n, place] = np.arange(len(sentence))
            start = place.stop
    return tokens, segments, positions
