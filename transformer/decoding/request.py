"""The search request of a sentence, and requests stacked as the rows of a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, UInt32

from data.batch import PAD
from transformer.decoding.batches import fill
from transformer.decoding.plan import SearchPlan
from transformer.decoding.spelling import STATES

MOST_TERMS = 8  # most terms that a sentence can require, other forms counted
LONGEST_TERM = 48  # most tokens in a term: enough for most addresses
NO_TOKENS, NO_TERMS = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)
NO_RANGES, NO_STEPS = np.zeros((0, 2), np.int32), np.zeros((0, 0), np.int32)


class TermRequest(NamedTuple):
    """A term that the output must contain."""

    choices: Sequence[Sequence[int]]  # its tokens, and those of other forms that will do as well
    places: Sequence[int] = ()  # the source tokens that it translates, counted from 0, if they are known


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
    items: Int[Array | np.ndarray, "*B M"]  # the item of each term, from 1; of terms with the same item, one suffices
    places: Bool[Array | np.ndarray, "*B M S"]  # the source tokens that each term translates; none: not known
    ranges: Int[Array | np.ndarray, "*B Z 2"]  # after the prefix: see `spelling.py`
    steps: Int[Array | np.ndarray, "*B Z Z"]


def make_request(
    plan: SearchPlan,
    source: Sequence[int],
    *,
    line: int = 0,
    part: int = 0,
    prefix: Sequence[int] = (),
    terms: Sequence["TermRequest"] = (),
    ranges: Sequence[tuple[int, int]] = (),
    steps: Sequence[Sequence[int]] = (),
) -> Request:
    """The request for a sentence, given as tokens with EOS. The plan gives the length limits for its length.

    `line` and `part` number the sentence and seed its random numbers. `ranges` and `steps` spell the characters that
    come after the prefix: see `spell_characters`. Raises ValueError for a prefix or terms that the
    plan has no room for.
    """
    limit = plan.limit(len(source))
    if (prefix or ranges) and not (plan.capacities.prefixes and len(prefix) < limit):
        raise ValueError(f"the plan has no room for a prefix of {len(prefix)} tokens in an output of {limit}")
    sequences = [choice for term in terms for choice in term.choices]
    longest = max(map(len, sequences), default=0)
    if terms and not (plan.capacities.terms and len(sequences) <= MOST_TERMS and longest <= LONGEST_TERM):
        raise ValueError(f"the plan has no room for {len(sequences)} terms of up to {longest} tokens")
    places = np.zeros((len(sequences), len(source)), bool)
    items = [item for item, term in enumerate(terms, 1) for _ in term.choices]
    for row, item in zip(places, items, strict=True):
        row[list(terms[item - 1].places)] = True
    return Request(
        source=np.array(source, np.int32),
        limit=np.array(limit, np.int32),
        minimum=np.array(min(plan.minimum(len(source)), limit - 1), np.int32),  # EOS always fits
        prefix=np.array(prefix, np.int32) if prefix else NO_TOKENS,
        terms=fill(len(sequences), sequences, longest) if terms else NO_TERMS,
        key=random_key(plan.decoding.seed, line, part),
        items=np.array(items, np.int32),
        places=places,
        ranges=np.array(ranges, np.int32) if ranges else NO_RANGES,
        steps=np.array(steps, np.int32) if steps else NO_STEPS,
    )


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
    most = MOST_TERMS if plan.capacities.terms else 0
    states = STATES if plan.capacities.prefixes else 0
    shapes = Request(
        source=(plan.bucket,),
        limit=(),
        minimum=(),
        prefix=(prefix,),
        terms=(most, LONGEST_TERM),
        key=(2,),
        items=(most,),
        places=(most, plan.bucket),
        ranges=(states, 2),
        steps=(states, states),
    )
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
