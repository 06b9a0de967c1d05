"""Rows of pairs, from their sizes alone. Packed rows hold several pairs; bucketed rows hold one, in few lengths."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from data.batching.filters import Sizes
from data.config import DataConfig
from data.errors import InputError
from data.tokens.ragged import Ragged, starts_of

SHORTEST = 8
OPEN_ROWS = 64


def bucket_lengths(row_length: int, count: int) -> list[int]:
    """At most `count` lengths of bucketed rows, which grow by about the same factor: 4 up to 64 -> 8 16 32 64.

    With a count of 0, in steps of at least 4 that grow: 8 12 16 20 24 28 32 40 ... row_length.
    """
    if count:
        factor = (row_length / SHORTEST) ** (1 / max(1, count - 1))
        exact = [row_length / factor**n for n in range(1, count)]
        return sorted({row_length, *(min(row_length, 4 * math.ceil(length / 4 - 1e-9)) for length in exact)})
    lengths = [SHORTEST]
    while lengths[-1] < row_length:
        lengths.append(lengths[-1] + max(4, lengths[-1] // 16 * 4))
    return [length for length in lengths if length < row_length] + [row_length]


def pack(sizes: Sizes, row_length: int) -> Ragged:
    """Rows of indices. Each pair joins the first open row with room on both sides, or else opens a new one.

    At most 64 rows are open; beyond that, the fullest is closed. Sizes of (3, 2), (4, 4), (2, 2) in rows of 5:

        [[0, 2], [1]]
    """
    rows = OpenRows(row_length)
    number_of = np.array([rows.place(source, target) for source, target in sizes.tolist()], np.int64)
    return Ragged(np.argsort(number_of, kind="stable"), starts_of(np.bincount(number_of, minlength=rows.opened)))


class OpenRows:
    """The rows that are open, and the room in them.

    The room of all open rows is also kept in one integer for each side, in lanes of bits, the first row lowest. Above
    the room, each lane has a guard bit. One subtraction then compares a size with every row: the guard bits that are
    left mark the rows with room. For so few rows, this is many times as fast as a search in a NumPy array.
    """

    def __init__(self, row_length: int):
        self.row_length, self.opened = row_length, 0
        self._width = row_length.bit_length() + 1
        ones = sum(1 << lane * self._width for lane in range(OPEN_ROWS))
        self._guards = ones << self._width - 1
        self._sizes = [size * ones for size in range(row_length + 1)]  # a size in every lane
        self._source = self._target = self._guards
        self._room: list[tuple[int, int]] = []
        self._least_room: list[int] = []
        self._numbers: list[int] = []  # of the open rows, in the order of opening

    def place(self, source: int, target: int) -> int:
        """The number of the row that a pair of these sizes joins."""
        fits = (self._source - self._sizes[source]) & (self._target - self._sizes[target]) & self._guards
        if not fits:
            return self._open(source, target)
        shift = (fits & -fits).bit_length() - self._width
        self._source -= source << shift
        self._target -= target << shift
        lane = shift // self._width
        before = self._room[lane]
        room = self._room[lane] = (before[0] - source, before[1] - target)
        self._least_room[lane] = min(room)
        return self._numbers[lane]

    def _open(self, source: int, target: int) -> int:
        if len(self._numbers) == OPEN_ROWS:
            self._close(self._least_room.index(min(self._least_room)))
        lane = len(self._numbers)
        room = (self.row_length - source, self.row_length - target)
        self._source += room[0] << lane * self._width
        self._target += room[1] << lane * self._width
        self._room.append(room)
        self._least_room.append(min(room))
        self._numbers.append(self.opened)
        self.opened += 1
        return self.opened - 1

    def _close(self, lane: int) -> None:
        """Removes a row. The lanes above it move down, and the last one is empty again."""
        shift = lane * self._width
        below, last = (1 << shift) - 1, 1 << OPEN_ROWS * self._width - 1
        self._source = self._source & below | self._source >> shift + self._width << shift | last
        self._target = self._target & below | self._target >> shift + self._width << shift | last
        del self._room[lane], self._least_room[lane], self._numbers[lane]


def batch_shapes(config: DataConfig, *, batch_tokens: int) -> list[tuple[int, int, int]]:
    """Every (rows, source length, target length) of a batch, with as many rows as fit in `batch_tokens`."""
    lengths = [config.row_length] if config.batching == "packed" else bucket_lengths(config.row_length, config.buckets)
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


def group_rows(sizes: Sizes, config: DataConfig) -> dict[int, Ragged]:
    """Rows of indices into the pairs, by row length. Packed rows have one length; bucketed rows hold one pair each.

    A bucketed row has the shortest of the lengths that holds both sides: of 8 and 12, sizes of (5, 9) take 12.
    """
    if config.batching == "packed":
        return {config.row_length: pack(sizes, config.row_length)}
    lengths = bucket_lengths(config.row_length, config.buckets)
    bucket_of = np.searchsorted(lengths, sizes.max(axis=1))
    groups = [np.flatnonzero(bucket_of == number) for number in range(len(lengths))]
    return {length: Ragged(group, np.arange(len(group) + 1)) for length, group in zip(lengths, groups, strict=True)}


def emptiest_last(rows: Ragged, sizes: Sizes, spare: int) -> Int[np.ndarray, " rows"]:
    """The order of rows in which the `spare` emptiest come last, where repacking them gains most."""
    longest = starts_of(sizes[rows.values].max(axis=1))
    filled = longest[rows.starts[1:]] - longest[rows.starts[:-1]]
    is_spare = np.zeros(len(rows), np.bool_)
    is_spare[np.argsort(filled, kind="stable")[:spare]] = True
    return np.concatenate([np.flatnonzero(~is_spare), np.flatnonzero(is_spare)])
