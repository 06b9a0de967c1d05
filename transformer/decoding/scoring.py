"""Forced scoring: how likely the model finds translations that are given, and where it looks while it reads them.

The forward pass is that of training: the decoder sees a whole target at once, without cache or dropout. Shapes are
fixed as in search: a pair is padded to a bucket that its own lengths decide, in rows of a fixed number, so that its
result has the same bits whatever is scored beside it.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import BOS, EOS, PAD, Batch
from data.errors import InputError
from transformer.decoding.batches import AHEAD, fill, make_batches
from transformer.model import Parameters, merge
from transformer.model.tap import tap
from transformer.training.loss import label_log_probabilities


class ForcedPair(NamedTuple):
    """A source and what is to be scored as its translation, as ids; both end with EOS.

    A hypothesis that the length limit cut has no EOS, and is scored without one.
    """

    source: Sequence[int]
    labels: Sequence[int]


def forced_pair(source: Sequence[int], target: Sequence[int], *, is_finished: bool = True) -> ForcedPair:
    """The pair of a source with its EOS and a target without: a hypothesis's tokens, or `encode_target` of a line."""
    return ForcedPair(source, [*target, EOS] if is_finished else list(target))


def longest_side(pair: ForcedPair) -> int:
    """The length that must fit into the model's maximum_length: ([a, b, EOS], [x, EOS]) -> 3."""
    return max(len(pair.source), len(pair.labels), 1)


def score_pairs(
    graph: nnx.GraphDef, parameters: Parameters, pairs: Sequence[ForcedPair], *, rows: int, maximum_length: int
) -> Iterator[tuple[list[int], list[Float[np.ndarray, " T"]]]]:
    """Batch after batch: the indices of its pairs, and of each the log-probability of every label, in float32.

    The log-probability of a label is given the source and all labels before it, over the whole vocabulary: PAD, UNK and
    BOS, which search never chooses, keep theirs here as there. The sum is the log-probability that search reports of
    the same output, up to rounding. `rows` pairs share a program; use `decoding.rows`.

    A pair of which a side is longer than `maximum_length`, the model's own, is an InputError that names its number from
    1 on; a program that reads files checks `longest_side` first, and names the line.
    """
    for indices, on_host, lengths in forced_batches(
        functools.partial(score_rows, graph, parameters), pairs, rows=rows, maximum_length=maximum_length
    ):
        scores = [row[:length] for row, (_, length) in zip(on_host, lengths, strict=False)]
        if not all(np.isfinite(row).all() for row in scores):
            raise InputError("the model gives no finite score: its parameters are damaged, or training diverged")
        yield indices, scores


def attend_pairs(
    graph: nnx.GraphDef,
    parameters: Parameters,
    pairs: Sequence[ForcedPair],
    *,
    layer: int,
    rows: int,
    maximum_length: int,
) -> Iterator[tuple[list[int], list[Float[np.ndarray, "T S"]]]]:
    """Batch after batch: the indices of its pairs, and of each the mean attention of decoder layer `layer`.

    Row t is the attention of the step that predicts label t, and has read label t - 1; columns are source tokens, EOS
    included; rows sum to 1. Otherwise as `score_pairs`.
    """
    for indices, on_host, lengths in forced_batches(
        functools.partial(attend_rows, graph, parameters, layer=layer), pairs, rows=rows, maximum_length=maximum_length
    ):
        yield indices, [row[:target, :source] for row, (source, target) in zip(on_host, lengths, strict=False)]


def forced_batches(
    program: Callable[..., Array], pairs: Sequence[ForcedPair], *, rows: int, maximum_length: int
) -> Iterator[tuple[list[int], np.ndarray, list[tuple[int, int]]]]:
    """The result of a program for each batch of pairs, with their indices and lengths of (source, labels)."""
    sizes = [longest_side(pair) for pair in pairs]
    for index, size in enumerate(sizes):
        if size > maximum_length:
            source, labels = pairs[index]
            raise InputError(
                f"pair {index + 1} of {len(pairs)} has {len(source)} source and {len(labels)} target tokens with EOS"
                f": the model takes at most {maximum_length} on a side: leave it out, or score its sentences apart"
            )
    pending: deque[tuple[list[int], Array]] = deque()

    def collect() -> tuple[list[int], np.ndarray, list[tuple[int, int]]]:
        indices, result = pending.popleft()
        return (
            indices,
            jax.device_get(result),
            [(len(pairs[index].source), len(pairs[index].labels)) for index in indices],
        )

    for indices, bucket in make_batches(sizes, maximum_length=maximum_length, batch_size=rows):
        sources = fill(rows, [pairs[index].source for index in indices], bucket)
        labels = fill(rows, [pairs[index].labels for index in indices], bucket)
        pending.append((indices, program(sources, labels)))
        if len(pending) == AHEAD:
            yield collect()
    while pending:
        yield collect()


@functools.partial(jax.jit, static_argnames="graph")
def score_rows(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    labels: Int[Array, "B T"],
) -> Float[Array, "B T"]:
    """The log-probability of every label; what stands behind the length of a row means nothing."""
    model = merge(graph, parameters)
    hidden = model.features(forced_batch(source, labels))
    output = model.output()
    return label_log_probabilities(hidden, output.table[...], labels, output.precision, output.vocabulary)


@functools.partial(jax.jit, static_argnames=("graph", "layer"))
def attend_rows(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    labels: Int[Array, "B T"],
    *,
    layer: int,
) -> Float[Array, "B T S"]:
    """The mean over heads of one layer's attention to the source."""
    model = merge(graph, parameters)
    name = model.alignment_name(layer)
    with tap(lambda shown: shown == name) as shown:
        model.features(forced_batch(source, labels))
    return shown[name].mean(axis=1)


def forced_batch(source: Int[Array, "B S"], labels: Int[Array, "B T"]) -> Batch:
    """Rows of one pair each: the decoder's inputs are BOS and every label but the last."""
    inputs = jnp.concatenate([jnp.full_like(labels[:, :1], BOS), labels[:, :-1]], axis=1)
    (source_segments, source_positions), (segments, positions) = map(one_segment, (source, inputs))
    return Batch(source, source_segments, source_positions, inputs, labels, segments, positions)


def one_segment(tokens: Int[Array, "B S"]) -> tuple[Int[Array, "B S"], Int[Array, "B S"]]:
    """Segments and positions of rows that hold one sentence: a b and a PAD -> [1, 1, 0] and [0, 1, 2]."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return (tokens != PAD).astype(jnp.int32), positions
