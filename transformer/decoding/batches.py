"""Batches of sentences in fixed shapes. The shape for a sentence depends on its own length alone."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from data.batch import PAD

SMALLEST_BUCKET = 16
ACCELERATOR_SMALLEST_BUCKET = 64  # a program takes long to compile for a GPU or TPU, which padding hardly slows
IN_FLIGHT = 8  # sentences in a batch for each row of a step: as some finish, others take their rows
AHEAD = 2  # batches sent to the device before waiting for the oldest result


class SearchBatch(NamedTuple):
    """Sentences that are searched together: their indices in the input, and their bucket."""

    indices: list[int]
    bucket: int


def bucket_of(length: int, maximum_length: int) -> int:
    """The source length a sentence is padded to: a power of two, or the maximum. 17, 256 -> 32.

    The smallest is 16 on CPUs, and 64 on accelerators.
    """
    smallest = SMALLEST_BUCKET if jax.default_backend() == "cpu" else ACCELERATOR_SMALLEST_BUCKET
    return min(max(smallest, 1 << (length - 1).bit_length()), maximum_length)


def make_batches(lengths: Sequence[int], *, maximum_length: int, batch_size: int) -> list[SearchBatch]:
    """Batches that hold each sentence once. Sentences of similar length share a batch, so that they finish together.

    A sentence's bucket depends on its own length alone. Lengths 20, 3, 30, 5 in batches of 2, up to 256:
    [[1, 3], bucket 16], [[0, 2], bucket 32].
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[SearchBatch] = []
    for index in order:
        bucket = bucket_of(lengths[index], maximum_length)
        if not batches or batches[-1].bucket != bucket or len(batches[-1].indices) == batch_size:
            batches.append(SearchBatch([], bucket))
        batches[-1].indices.append(index)
    return batches


def in_order(batches: Iterable[tuple[Sequence[int], Sequence[Any]]], count: int) -> list[Any]:
    """The results of batches, each with its indices, in the order of the indices."""
    found = {index: result for indices, results in batches for index, result in zip(indices, results, strict=True)}
    return [found[index] for index in range(count)]


def fill(rows: int, sentences: Sequence[Sequence[int]], width: int) -> Int[np.ndarray, "B width"]:
    """Sentences as padded rows, followed by empty rows."""
    tokens = np.full((rows, width), PAD, np.int32)
    for row, sentence in enumerate(sentences):
        tokens[row, : len(sentence)] = sentence
    return tokens
