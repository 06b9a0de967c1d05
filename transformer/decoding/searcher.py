"""The device part of translation: sentences of any length, in fixed shapes, through encoder and search."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import BOS, PAD, UNK
from data.errors import InputError
from transformer.config import DecodingConfig
from transformer.decoding import STRATEGIES, Hypotheses, Settings, Stepper
from transformer.decoding.search import NEVER, Cache
from transformer.model import Parameters, Transformer, merge, reorder_cache

SMALLEST_BUCKET = 16
AHEAD = 2  # batches given to the device before the oldest one's result is waited for


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


def model_stepper(model: Transformer) -> Stepper:
    """The model as search sees it. PAD, UNK and BOS keep their probability, but are never chosen."""

    def step(tokens: Int[Array, "B K"], cache: Cache) -> tuple[Float[Array, "B K V"], Cache]:
        logits, cache = model.decode_step(tokens, cache)
        log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        return log_probabilities.at[..., jnp.array([PAD, UNK, BOS])].set(NEVER), cache

    return Stepper(step, reorder_cache)


def search_sentences(
    graph: nnx.GraphDef,
    parameters: Parameters,
    sources: Sequence[Sequence[int]],
    *,
    decoding: DecodingConfig,
    maximum_length: int,
    keep: int = 1,
    batch_size: int = 0,
    make_stepper: Callable[[Transformer], Stepper] = model_stepper,
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """Batch after batch: the places of its sentences among the sources, and up to `keep` hypotheses of each.

    Hypotheses come best first. Sources are token ids with EOS, at most `maximum_length` of them. Up to `batch_size`
    sentences (0: as many as fit) share the `decoding.rows` rows of a program; other rows stay empty and cost no step.
    A program is compiled for each bucket and never for a number of sentences: a sentence's result has the same bits
    whatever is searched beside it.
    """
    batch_size = min(batch_size or decoding.rows, decoding.rows)
    lengths = [len(source) for source in sources]
    pending: deque[tuple[list[int], Hypotheses]] = deque()
    for batch in make_batches(lengths, maximum_length=maximum_length, batch_size=batch_size):
        settings = search_settings(decoding, bucket=batch.bucket, maximum_length=maximum_length, keep=keep)
        rows = fill_rows([sources[place] for place in batch.places], rows=decoding.rows, bucket=batch.bucket)
        pending.append(
            (batch.places, search_rows(graph, parameters, *rows, settings=settings, make_stepper=make_stepper))
        )
        if len(pending) == AHEAD:
            yield collect(*pending.popleft())
    while pending:
        yield collect(*pending.popleft())


def search_settings(decoding: DecodingConfig, *, bucket: int, maximum_length: int, keep: int) -> Settings:
    """The static side of a bucket's program. No output is longer than `maximum_length`, the model's own limit."""
    length = min(int(bucket * decoding.maximum_ratio) + decoding.maximum_extra, maximum_length)
    return Settings(beams=decoding.beam, keep=keep, length=max(length, 1), length_penalty=decoding.length_penalty)


def fill_rows(
    sources: Sequence[Sequence[int]], *, rows: int, bucket: int
) -> tuple[Int[np.ndarray, "B S"], Int[np.ndarray, " B"]]:
    """Sources as padded rows, and their lengths; the rows left over are empty, of length 0."""
    tokens = np.full((rows, bucket), PAD, np.int32)
    lengths = np.zeros(rows, np.int32)
    for row, source in enumerate(sources):
        tokens[row, : len(source)] = source
        lengths[row] = len(source)
    return tokens, lengths


@functools.partial(jax.jit, static_argnames=("graph", "settings", "make_stepper"))
def search_rows(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    *,
    settings: Settings,
    make_stepper: Callable[[Transformer], Stepper],
) -> Hypotheses:
    """Encodes rows of one sentence each, and searches their translations. Rows of length 0 are left out."""
    model = merge(graph, parameters)
    places = jnp.broadcast_to(jnp.arange(source.shape[1]), source.shape)
    segments = (places < lengths[:, None]).astype(jnp.int32)
    memory = model.encode(source, segments, places)
    cache = model.init_cache(memory, segments, beams=settings.beams, length=settings.length)
    strategy = STRATEGIES["greedy" if settings.beams == 1 else "beam"]
    return strategy(make_stepper(model), cache, lengths > 0, settings)


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
