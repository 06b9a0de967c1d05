"""What is asked of a search: of all sentences by the config, and of each one by its request."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from data.batch import PAD
from data.errors import InputError
from transformer.config import DecodingConfig
from transformer.decoding.batches import fill
from transformer.decoding.search import Requirements, Settings

MOST_TERMS = 8  # terms that one sentence can require
LONGEST_TERM = 16  # tokens of a term


class Request(NamedTuple):
    """A sentence to translate, as tokens with EOS, and what its translation must have."""

    source: Sequence[int]
    line: int = 0  # its number: with `decoding.seed`, the seed of its random numbers
    prefix: Sequence[int] = ()  # tokens with which the translation begins
    terms: Sequence[Sequence[int]] = ()  # tokens that it contains


def usual_rows() -> int:
    """Rows of a step where a config leaves them open: on CPUs as few as their caches hold, elsewhere enough to do."""
    return 8 if jax.default_backend() == "cpu" else 128


def strategy_name(decoding: DecodingConfig, *, has_terms: bool) -> str:
    """The strategy in STRATEGIES that a config asks for. InputError if it asks for two."""
    if has_terms and (decoding.sampling or decoding.groups > 1):
        raise InputError("terminology needs beam search: it goes with neither sampling nor groups")
    if has_terms:
        return "terminology"
    if decoding.sampling:
        return "sampling"
    if decoding.groups > 1:
        return "diverse"
    return "greedy" if decoding.beam == 1 else "beam"


def search_settings(decoding: DecodingConfig, *, bucket: int, maximum_length: int, keep: int) -> Settings:
    """The static side of a bucket's program. No output is longer than `maximum_length`, the model's own limit."""
    length = max(1, min(int(bucket * decoding.maximum_ratio) + decoding.maximum_extra, maximum_length))
    return Settings(
        beams=decoding.beam,
        keep=keep,
        stages=(bucket, length) if bucket < length else (length,),
        rows=decoding.rows or usual_rows(),
        length_penalty=decoding.length_penalty,
        penalty=decoding.penalty,
        patience=decoding.patience,
        groups=decoding.groups,
        diversity=decoding.diversity,
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        repetition_penalty=decoding.repetition_penalty,
        unrepeated=decoding.unrepeated,
    )


def row_requirements(
    requests: Sequence[Request], decoding: DecodingConfig, settings: Settings, *, rows: int
) -> Requirements:
    """What the requests ask for, as arrays, filled up with rows that are left out."""
    limits, minimums = np.zeros((2, rows), np.int32)
    keys = np.zeros((rows, 2), np.uint32)
    terms = np.full((rows, MOST_TERMS, LONGEST_TERM), PAD, np.int32)
    for row, request in enumerate(requests):
        limits[row] = settings.length
        minimum = decoding.minimum_length + int(decoding.minimum_ratio * (len(request.source) - 1))
        minimums[row] = min(minimum, settings.length - 1)
        keys[row] = decoding.seed, request.line
        for place, term in enumerate(request.terms):
            terms[row, place, : len(term)] = term
    prefixes = fill(rows, [request.prefix[: settings.length - 1] for request in requests], settings.length)
    return Requirements(limits, minimums, prefixes, terms, keys)
