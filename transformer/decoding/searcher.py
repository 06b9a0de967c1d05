"""The device part of translation: sentences of any length, in fixed shapes, through encoder and search."""

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import BOS, PAD, UNK
from data.errors import InputError
from transformer.config import DecodingConfig
from transformer.decoding import STRATEGIES, Hypotheses, Requirements, Settings, Stepper
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.search import NEVER, Cache
from transformer.model import Parameters, Transformer, grow_cache, merge, reorder_cache

SMALLEST_BUCKET = 16
MOST_TERMS = 8  # terms that one sentence can require
LONGEST_TERM = 16  # tokens of a term
AHEAD = 2  # batches given to the device before the oldest one's result is waited for
IN_FLIGHT = 4  # sentences of a batch for each row of a step: when some are complete, others fill the step


class Request(NamedTuple):
    """A sentence to translate, as tokens with EOS, and what its translation must have."""

    source: Sequence[int]
    line: int = 0  # its number: with `decoding.seed`, the seed of its random numbers
    prefix: Sequence[int] = ()  # tokens with which the translation begins
    terms: Sequence[Sequence[int]] = ()  # tokens that it contains


class Model(NamedTuple):
    """What is searched with: one model, or several that vote."""

    graphs: tuple[nnx.GraphDef, ...]
    parameters: tuple[Parameters, ...]


class Hypothesis(NamedTuple):
    """One translation of a sentence, as tokens without EOS."""

    tokens: list[int]
    log_probability: float
    score: float
    is_finished: bool


class SearchBatch(NamedTuple):
    """Sentences that are searched together: where they stand in the input, and their bucket."""

    places: list[int]
    bucket: int


def bucket_of(length: int, maximum_length: int) -> int:
    """The source length a sentence is padded to: a power of two from 16 on, or the maximum. 17, 256 -> 32."""
    return min(max(SMALLEST_BUCKET, 1 << (length - 1).bit_length()), maximum_length)


def make_batches(lengths: Sequence[int], *, maximum_length: int, batch_size: int) -> list[SearchBatch]:
    """Every sentence in one batch of its own bucket, with those of like length, so that a batch ends together.

    The bucket depends on the sentence's own length alone. Lengths 20, 3, 30, 5 in batches of 2, up to 256:
    [[1, 3], bucket 16], [[0, 2], bucket 32].
    """
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    batches: list[SearchBatch] = []
    for place in order:
        bucket = bucket_of(lengths[place], maximum_length)
        if not batches or batches[-1].bucket != bucket or len(batches[-1].places) == batch_size:
            batches.append(SearchBatch([], bucket))
        batches[-1].places.append(place)
    return batches


def search_sentences(
    model: Model,
    requests: Sequence[Request],
    *,
    decoding: DecodingConfig,
    maximum_length: int,
    keep: int = 1,
    batch_size: int = 0,
    banned: tuple[tuple[int, ...], ...] = (),
    has_prefixes: bool = False,
    has_terms: bool = False,
    devices: Sequence[jax.Device] = (),
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """Batch after batch: the places of its sentences among the requests, and up to `keep` hypotheses of each.

    Hypotheses come best first. Sources have at most `maximum_length` tokens. Up to `batch_size` sentences (0: as many
    as fit) share a program, of which `decoding.rows` at a time take a step; other rows are empty. A program is compiled
    for each bucket and never for a number of sentences: a sentence's result has the same bits whatever is searched
    beside it. `banned` token sequences are never written. Prefixes and terms of requests count only where announced.
    Batches go to the devices in turn (default: where the first model's parameters are).
    """
    in_flight = decoding.rows * IN_FLIGHT
    batch_size = min(batch_size or in_flight, in_flight)
    lengths = [len(request.source) for request in requests]
    copies = [jax.device_put(model.parameters, device) for device in devices] or [model.parameters]
    strategy = strategy_name(decoding, has_terms=has_terms)
    pending: deque[tuple[list[int], Hypotheses]] = deque()
    batches = make_batches(lengths, maximum_length=maximum_length, batch_size=batch_size)
    for number, batch in enumerate(batches):
        settings = search_settings(decoding, bucket=batch.bucket, maximum_length=maximum_length, keep=keep)
        chosen = [requests[place] for place in batch.places]
        source = fill(in_flight, [request.source for request in chosen], batch.bucket)
        rows = row_requirements(chosen, decoding, settings, rows=in_flight)
        if not has_prefixes:
            rows = rows._replace(prefixes=rows.prefixes[:, :0])
        if not has_terms:
            rows = rows._replace(terms=rows.terms[:, :0])
        parameters = copies[number % len(copies)]
        found = search_rows(model.graphs, parameters, source, rows, strategy=strategy, settings=settings, banned=banned)
        pending.append((batch.places, found))
        if len(pending) == AHEAD * len(copies):
            yield collect(*pending.popleft())
    while pending:
        yield collect(*pending.popleft())


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
    length = max(1, length_limit(bucket, decoding, maximum_length))
    return Settings(
        beams=decoding.beam,
        keep=keep,
        stages=(bucket, length) if bucket < length else (length,),
        rows=decoding.rows,
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


def length_limit(source_length: int, decoding: DecodingConfig, maximum_length: int) -> int:
    """The longest output in tokens, EOS counted, of a source of so many tokens."""
    return min(int(source_length * decoding.maximum_ratio) + decoding.maximum_extra, maximum_length)


def fill(rows: int, sentences: Sequence[Sequence[int]], width: int) -> Int[np.ndarray, "B width"]:
    """Sentences as rows, padded; the rows left over are empty."""
    tokens = np.full((rows, width), PAD, np.int32)
    for row, sentence in enumerate(sentences):
        tokens[row, : len(sentence)] = sentence
    return tokens


def row_requirements(
    requests: Sequence[Request], decoding: DecodingConfig, settings: Settings, *, rows: int
) -> Requirements:
    """What the requests ask for, as arrays, filled up with rows that are left out."""
    limits, minimums = np.zeros((2, rows), np.int32)
    keys = np.zeros((rows, 2), np.uint32)
    terms = np.full((rows, MOST_TERMS, LONGEST_TERM), PAD, np.int32)
    for row, request in enumerate(requests):
        length = len(request.source)
        limit = min(length_limit(length, decoding, settings.length), settings.length)
        limits[row] = max(limit, min(len(request.prefix) + 1, settings.length), 1)
        minimums[row] = min(decoding.minimum_length + int(decoding.minimum_ratio * (length - 1)), limits[row] - 1)
        keys[row] = decoding.seed, request.line
        for place, term in enumerate(request.terms):
            terms[row, place, : len(term)] = term
    prefixes = fill(rows, [request.prefix[: settings.length - 1] for request in requests], settings.length)
    return Requirements(limits, minimums, prefixes, terms, keys)


@functools.partial(jax.jit, static_argnames=("graphs", "strategy", "settings", "banned"))
def search_rows(
    graphs: tuple[nnx.GraphDef, ...],
    parameters: tuple[Parameters, ...],
    source: Int[Array, "B S"],
    rows: Requirements,
    *,
    strategy: str,
    settings: Settings,
    banned: tuple[tuple[int, ...], ...] = (),
) -> Hypotheses:
    """Encodes rows of one sentence each, and searches their translations. Rows of limit 0 are left out."""
    models = [merge(graph, one) for graph, one in zip(graphs, parameters, strict=True)]
    places = jnp.broadcast_to(jnp.arange(source.shape[1]), source.shape)
    segments = (source != PAD).astype(jnp.int32)
    caches = tuple(
        model.init_cache(
            model.encode(source, segments, places), segments, beams=settings.beams, length=settings.stages[0]
        )
        for model in models
    )
    stepper = with_rules(models_stepper(models), settings, banned=banned)
    return STRATEGIES[strategy](stepper, ruled_cache(caches, rows, settings), rows, settings)


def models_stepper(models: Sequence[Transformer]) -> Stepper:
    """The models as search sees them: the mean of their probabilities, of which PAD, UNK and BOS are never chosen."""

    def step(
        tokens: Int[Array, "B K"], position: Int[Array, ""], caches: tuple[Cache, ...]
    ) -> tuple[Float[Array, "B K V"], tuple[Cache, ...]]:
        stepped = [model.decode_step(tokens, position, cache) for model, cache in zip(models, caches, strict=True)]
        each = [log_softmax(logits.astype(jnp.float32)) for logits, _ in stepped]
        mean = each[0] if len(each) == 1 else jax.nn.logsumexp(jnp.stack(each), axis=0) - np.log(len(each))
        allowed = np.zeros(mean.shape[-1], np.float32)
        allowed[[PAD, UNK, BOS]] = NEVER
        return mean + allowed[None, None], tuple(cache for _, cache in stepped)

    def reorder(caches: tuple[Cache, ...], parents: Array) -> tuple[Cache, ...]:
        return tuple(reorder_cache(cache, parents) for cache in caches)

    def grow(caches: tuple[Cache, ...], length: int) -> tuple[Cache, ...]:
        return tuple(grow_cache(cache, length) for cache in caches)

    return Stepper(step, reorder, grow)


def log_softmax(logits: Float[Array, "B K V"]) -> Float[Array, "B K V"]:
    """Logits as log-probabilities: one subtraction, which later passes take up."""
    return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)


def collect(places: list[int], hypotheses: Hypotheses) -> tuple[list[int], list[list[Hypothesis]]]:
    """Waits for a batch's result: the one transfer from the device. InputError if no score is finite."""
    on_host: Hypotheses = jax.device_get(hypotheses)
    found = []
    for tokens, lengths, *numbers in zip(*(values[: len(places)] for values in on_host), strict=True):
        row = [
            Hypothesis(
                tokens[k, : length - is_finished].tolist(), float(log_probability), float(score), bool(is_finished)
            )
            for k, (length, log_probability, score, is_finished) in enumerate(zip(lengths, *numbers, strict=True))
            if np.isfinite(score) and length
        ]
        if not row:
            raise InputError("the model gives no finite score: its parameters are damaged, or training diverged")
        found.append(row)
    return places, found
