"""Forced scoring: the log-probabilities of given translations, and the attention of the decoder that reads them.

The forward pass is that of training: the decoder sees a whole target at once, without a cache or dropout. Shapes are
fixed as in search: a pair is padded to a bucket that depends on its own lengths, in a batch with a fixed number of
rows. So its result has the same bits whatever other pairs are in the batch.
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
from transformer.compiler import compiled
from transformer.decoding.batches import AHEAD, fill, make_batches
from transformer.model import Parameters, merge
from transformer.model.tap import tap
from transformer.training.chunks import label_log_probabilities


class ForcedPair(NamedTuple):
    """A source and the translation to score, as ids; both end with EOS.

    A hypothesis that was cut off at the length limit has no EOS, and is scored without one.
    """

    source: Sequence[int]
    labels: Sequence[int]


def forced_pair(source: Sequence[int], target: Sequence[int], *, is_finished: bool = True) -> ForcedPair:
    """A pair from a source with EOS and a target without: a hypothesis's tokens, or `encode_target` of a line."""
    return ForcedPair(source, [*target, EOS] if is_finished else list(target))


def longest_side(pair: ForcedPair) -> int:
    """The longer side's length, which must fit the model's maximum_length: ([a, b, EOS], [x, EOS]) -> 3."""
    return max(len(pair.source), len(pair.labels), 1)


def score_pairs(
    graph: nnx.GraphDef, parameters: Parameters, pairs: Sequence[ForcedPair], *, rows: int, maximum_length: int
) -> Iterator[tuple[list[int], list[Float[np.ndarray, " T"]]]]:
    """For each batch, the indices of its pairs, and for each pair the log-probability of every label, in float32.

    The log-probability of a label is conditional on the source and all earlier labels, and is over the whole
    vocabulary: as in search, PAD, UNK and BOS keep their share, though search never chooses them. The sum is the
    log-probability that search reports for the same output, up to rounding. `rows` pairs share a program; use
    `decoding.rows`.

    Raises InputError for a pair with a side longer than `maximum_length`, the model's limit, and gives its number,
    counted from 1. A program that reads files should check `longest_side` first, and name the line.
    """
    for indices, on_host, lengths in forced_batches(
        functools.partial(compiled(score_rows, "graph"), graph, parameters),
        pairs,
        rows=rows,
        maximum_length=maximum_length,
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
    """For each batch, the indices of its pairs, and for each pair the mean attention of decoder layer `layer`.

    Row t is the attention of the step that reads label t - 1 and predicts label t. Columns are source tokens, including
    EOS; rows sum to 1. Otherwise as `score_pairs`.
    """
    for indices, on_host, lengths in forced_batches(
        functools.partial(compiled(attend_rows, "graph", "layer"), graph, parameters, layer=layer),
        pairs,
        rows=rows,
        maximum_length=maximum_length,
    ):
        yield indices, [row[:target, :source] for row, (source, target) in zip(on_host, lengths, strict=False)]


def forced_batches(
    program: Callable[..., Array], pairs: Sequence[ForcedPair], *, rows: int, maximum_length: int
) -> Iterator[tuple[list[int], np.ndarray, list[tuple[int, int]]]]:
    """A program's result for each batch of pairs, with the indices of the pairs and their (source, label) lengths."""
    sizes = [longest_side(pair) for pair in pairs]
    for index, size in enumerate(sizes):
        if size > maximum_length:
            source, labels = pairs[index]
            raise InputError(
                f"pair {index + 1} of {len(pairs)} has {len(source)} source and {len(labels)} target tokens with EOS"
                f": the model takes at most {maximum_length} on a side: leave it out, or score its sentences separately"
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


def score_rows(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    labels: Int[Array, "B T"],
) -> Float[Array, "B T"]:
    """The log-probability of every label; values beyond a row's length are meaningless."""
    model = merge(graph, parameters)
    hidden = model.features(forced_batch(source, labels))
    output = model.output()
    return label_log_probabilities(hidden, output.table[...], labels, output.precision, output.vocabulary)


def attend_rows(
    graph: nnx.GraphDef,
    parameters: Parameters,
    source: Int[Array, "B S"],
    labels: Int[Array, "B T"],
    *,
    layer: int,
) -> Float[Array, "B T S"]:
    """One layer's attention to the source, averaged over heads."""
    model = merge(graph, parameters)
    name = model.alignment_name(layer)
    with tap(lambda shown: shown == name) as shown:
        model.features(forced_batch(source, labels))
    return shown[name].mean(axis=1)


def forced_batch(source: Int[Array, "B S"], labels: Int[Array, "B T"]) -> Batch:
    """A batch with one pair in each row; the decoder's inputs are BOS and every label but the last."""
    inputs = jnp.concatenate([jnp.full_like(labels[:, :1], BOS), labels[:, :-1]], axis=1)
    (source_segments, source_positions), (segments, positions) = map(one_segment, (source, inputs))
    return Batch(source, source_segments, source_positions, inputs, labels, segments, positions)


def one_segment(tokens: Int[Array, "B S"]) -> tuple[Int[Array, "B S"], Int[Array, "B S"]]:
    """Segments and positions of rows that hold one sentence each: a b PAD -> [1, 1, 0] and [0, 1, 2]."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return (tokens != PAD).astype(jnp.int32), positions
