"""The loss: label-smoothed cross-entropy of real target tokens, as a sum and a count.

A table may have more rows than the vocabulary has tokens, so that devices can share it (see devices/padding.py). The
extra rows are unused: probabilities and label smoothing are over the vocabulary alone.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from transformer.compiler import opaque
from transformer.model.dense import Precision, contract

CHUNK_TOKENS = 512
"""Target tokens whose logits exist at one time on a CPU, so that they fit in the cache."""

ACCELERATOR_CHUNK_TOKENS = 4096
"""The same on a GPU or TPU, to keep it busy: 0.5 GB of logits with 32,000 pieces."""


def chunk_tokens() -> int:
    """Target tokens whose logits exist at one time on a device."""
    return CHUNK_TOKENS if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK_TOKENS


class Sums(NamedTuple):
    """The sums of an objective. Divide only after summing over rows, accumulation steps and devices.

    `extra` holds further sums to log, by name; only `loss` is differentiated.
    """

    loss: Float[Array, ""]
    tokens: Float[Array, ""]
    extra: dict[str, Float[Array, ""]]


def smoothed_cross_entropy(
    logits: Float[Array, "*rows V"], labels: Int[Array, "*rows"], smoothing: float
) -> Float[Array, "*rows"]:
    """Cross-entropy in nats of each label with label smoothing over V (Szegedy et al. 2016, section 7).

    The target distribution is 1 - smoothing on the label plus smoothing / V on every token, the label included:

        loss = logsumexp(logits) - (1 - smoothing) * logits[label] - smoothing * mean(logits)
    """
    logits = logits.astype(jnp.float32)
    return _from_partition(logits, jax.nn.logsumexp(logits, axis=-1), logits.mean(-1), labels, smoothing)


def _from_partition(logits, log_partition, mean, labels, smoothing):
    """`smoothed_cross_entropy`, given the logarithm of the softmax's partition and the mean of the logits."""
    label_logits = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return log_partition - (1 - smoothing) * label_logits - smoothing * mean


def plain_loss(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    *,
    smoothing: float,
    vocabulary: int,
) -> Float[Array, ""]:
    """The sum of smoothed cross-entropies, with all logits in memory: the reference for `chunked_loss`."""
    logits = jnp.einsum("BTD,VD->BTV", hidden.astype(jnp.float32), table[:vocabulary])
    return jnp.sum(smoothed_cross_entropy(logits, labels, smoothing) * weights)


def _chunks(x: Array, count: int) -> Array:
    """[B, T, ...] -> [count, B * T / count, ...], where each chunk holds some positions of every row.

    Rows are not mixed, so this only exchanges whole axes.
    """
    rows, length = x.shape[:2]
    parts = x.reshape(rows, count, length // count, *x.shape[2:])
    return jnp.moveaxis(parts, 1, 0).reshape(count, -1, *x.shape[2:])


def _unchunk(x: Array, rows: int) -> Array:
    """The inverse of `_chunks`."""
    parts = x.reshape(x.shape[0], rows, -1, *x.shape[2:])
    return jnp.moveaxis(parts, 0, 1).reshape(rows, -1, *x.shape[2:])


def _chunk_count(shape: tuple[int, ...]) -> int:
    """The smallest number of equal chunks with at most `chunk_tokens()` tokens, or with one position of each row."""
    (rows, length), most = shape, chunk_tokens()
    return next((n for n in range(1, length + 1) if length % n == 0 and rows * (length // n) <= most), length)


def _chunk_logits(hidden, table, precision, vocabulary):
    """Logits of one chunk, -inf for the table's unused rows, and their mean over the vocabulary.

    Columns are masked rather than removed, because they may be divided among devices.
    """
    logits = contract(hidden, table, 1, 1, precision)
    if vocabulary == table.shape[0]:
        return logits, logits.mean(-1)
    is_token = (jnp.arange(table.shape[0]) < vocabulary)[None]
    return jnp.where(is_token, logits, -jnp.inf), jnp.where(is_token, logits, 0).sum(-1) / vocabulary


def _chunk_loss(hidden, table, labels, weights, smoothing, precision, vocabulary):
    """The loss of one chunk, and its gradient with respect to the logits."""
    logits, mean = _chunk_logits(hidden, table, precision, vocabulary)
    highest = logits.max(-1, keepdims=True)
    exponents = jnp.exp(logits - highest)
    partition = exponents.sum(-1, keepdims=True)
    log_partition = (jnp.log(partition) + highest)[:, 0]
    loss = jnp.sum(_from_partition(logits, log_partition, mean, labels, smoothing) * weights)
    columns = jnp.arange(logits.shape[1])[None]
    spread = smoothing / vocabulary
    if vocabulary < logits.shape[1]:
        spread = spread * (columns < vocabulary)
    wanted = spread + (1 - smoothing) * (labels[:, None] == columns)
    return loss, (exponents / partition - wanted) * weights[:, None]


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def chunked_loss(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    smoothing: float,
    precision: Precision,
    vocabulary: int,
) -> Float[Array, ""]:
    """The sum of smoothed cross-entropies of `hidden @ table[:vocabulary].T`, equal to `plain_loss` up to rounding.

    The logits of one chunk of tokens at a time are computed, used for the loss and the gradient, and discarded. So
    memory grows with the chunk and not with the batch, and nothing is computed twice.
    """
    count = _chunk_count(labels.shape)

    def add(total, chunk):
        hidden, labels, weights = chunk
        logits, mean = _chunk_logits(hidden, table, precision, vocabulary)
        losses = _from_partition(logits, jax.nn.logsumexp(logits, axis=-1), mean, labels, smoothing)
        return total + jnp.sum(losses * weights), None

    chunks = (_chunks(hidden, count), _chunks(labels, count), _chunks(weights, count))
    return jax.lax.scan(add, jnp.zeros((), jnp.float32), chunks)[0]


def label_log_probabilities(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    precision: Precision,
    vocabulary: int,
) -> Float[Array, "B T"]:
    """The log-probability of each label under softmax(hidden @ table[:vocabulary].T), in the chunks of `chunked_loss`.

    Uses log_softmax, as search does, which is more precise than the cross-entropy for a probability near 1.
    """
    count = _chunk_count(labels.shape)

    def score(chunk):
        hidden, labels = chunk
        log_probabilities = jax.nn.log_softmax(_chunk_logits(hidden, table, precision, vocabulary)[0], axis=-1)
        return jnp.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]

    return _unchunk(jax.lax.map(score, (_chunks(hidden, count), _chunks(labels, count))), labels.shape[0])


# The forward pass also computes the gradient, from the logits of each chunk; the backward pass only scales it.


def _forward(hidden, table, labels, weights, smoothing, precision, vocabulary):
    count = _chunk_count(labels.shape)

    def add(sums, chunk):
        hidden, labels, weights = chunk
        total, turned = sums  # the table's gradient is D x V here: V x D would transpose each chunk's logits
        loss, logits_gradient = _chunk_loss(hidden, table, labels, weights, smoothing, precision, vocabulary)
        hidden_gradient = contract(logits_gradient, table, 1, 0, precision).astype(hidden.dtype)
        turned = turned + contract(hidden, logits_gradient, 0, 0, precision)
        return (total + loss, turned), hidden_gradient

    if precision != "float32":
        table = opaque(table.astype(jnp.bfloat16))  # else a GPU would do so for each chunk
    chunks = (_chunks(hidden, count), _chunks(labels, count), _chunks(weights, count))
    zeros = (jnp.zeros((), jnp.float32), jnp.zeros(table.shape[::-1], jnp.float32))
    (loss, turned), hidden_gradient = jax.lax.scan(add, zeros, chunks)
    return loss, (_unchunk(hidden_gradient, labels.shape[0]), turned.T)


def _backward(smoothing, precision, vocabulary, gradients, scale):
    del smoothing, precision, vocabulary
    hidden_gradient, table_gradient = gradients
    return (hidden_gradient * scale).astype(hidden_gradient.dtype), table_gradient * scale, None, None


chunked_loss.defvjp(_forward, _backward)
