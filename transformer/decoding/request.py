"""The search request of a sentence, and requests stacked as the rows of a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int, UInt32

from data.batch import PAD
from transformer.decoding.batches import fill
from transformer.decoding.plan import SearchPlan

MOST_TERMS = 8  # most terms that a sentence can require
LONGEST_TERM = 16  # most tokens in a term
NO_TOKENS, NO_TERMS = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)


class Request(NamedTuple):
    """What the search needs to know about a sentence. Tokens are padded with PAD.

    In a stack of requests, each field has a leading axis for the rows of the batch: see `stack`.
    """

    source: Int[Array | np.ndarray, "*B S"]  # including EOS
    limit: Int[Array | np.ndarray, "*B"]  # longest output in tokens, including EOS; 0: the row is not searched
    minimum: Int[Array | np.ndarray, "*B"]  # fewest tokens required before EOS
    prefix: Int[Array | np.ndarray, "*B P"]  # tokens with which the output begins
    terms: Int[Array | np.ndarray, "*B M Q"]  # up to M terms of up to Q tokens that the output must contain
    key: UInt32[Array | np.ndarray, "*B 2"]  # of the sentence's random numbers


def make_request(
    plan: SearchPlan,
    source: Sequence[int],
    *,
    line: int = 0,
    part: int = 0,
    prefix: Sequence[int] = (),
    terms: Sequence[Sequence[int]] = (),
) -> Request:
    """The request for a sentence, given as tokens with EOS. The plan gives the length limits for its length.

    `line` and `part` number the sentence and seed its random numbers. Raises ValueError for a prefix or terms that the
    plan has no room for.
    """
    limit = plan.limit(len(source))
    if prefix and not (plan.capacities.prefixes and len(prefix) < limit):
        raise ValueError(f"the plan has no room for a prefix of {len(prefix)} tokens in an output of {limit}")
    if terms and not (plan.capacities.terms and len(terms) <= MOST_TERMS and longest_of(terms) <= LONGEST_TERM):
        raise ValueError(f"the plan has no room for {len(terms)} terms of up to {longest_of(terms)} tokens")
    return Request(
        source=np.array(source, np.int32),
        limit=np.array(limit, np.int32),
        minimum=np.array(min(plan.minimum(len(source)), limit - 1), np.int32),  # EOS always fits
        prefix=np.array(prefix, np.int32) if prefix else NO_TOKENS,
        terms=fill(len(terms), terms, longest_of(terms)) if terms else NO_TERMS,
        key=random_key(plan.decoding.seed, line, part),
    )


def longest_of(terms: Sequence[Sequence[int]]) -> int:
    """The number of tokens in the longest term."""
    return max(map(len, terms))


def random_key(seed: int, line: int, part: int) -> UInt32[np.ndarray, "2"]:
    """The key of a sentence's random numbers: the seed and the line number for a line's first part, else a hash."""
    if part == 0 and line < 2**32:
        return np.array([seed, line], np.uint32)
    return np.random.SeedSequence([seed, line, part]).generate_state(2)


def stack(requests: Sequence[Request], plan: SearchPlan, *, rows: int) -> Request:
    """The requests as the rows of a batch, padded to the plan's shapes and to its number of rows.

    Rows of padding are not searched. Without capacities for them, prefixes and terms take no room in the program.
    """
    prefix = plan.length if plan.capacities.prefixes else 0
    terms = (MOST_TERMS if plan.capacities.terms else 0, LONGEST_TERM)
    shapes = Request(source=(plan.bucket,), limit=(), minimum=(), prefix=(prefix,), terms=terms, key=(2,))
    fields = zip(*requests, strict=True)
    return Request(*(pad(values, (rows, *shape)) for values, shape in zip(fields, shapes, strict=True)))


def pad(values: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The arrays stacked as the first rows of one, each padded to its row's shape with PAD, which is 0."""
    padded = np.full(shape, PAD, values[0].dtype)
    if {value.shape for value in values} == {shape[1:]}:
        padded[: len(values)] = values
    elif padded.size:
        for row, value in zip(padded, values, strict=False):
            row[tuple([slice(size) for size in value.shape])] = value
    return padded
