"""The output layer and what follows it, for one chunk of target tokens at a time.

The logits of a whole batch would take more memory than the rest of an update. Those of a chunk are computed, used for
the loss and its gradient, and discarded. So memory grows with the chunk and not with the batch, and nothing is computed
twice.

A table may have more rows than the vocabulary has tokens, so that devices can share it (see devices/padding.py). The
extra rows are unused: their logits are -inf.
"""

import math
from collections.abc import Callable
from functools import partial

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


def _chunk_count(rows: int, length: int) -> int:
    """The smallest number of equal chunks with at most `chunk_tokens()` tokens, or with one position of each row."""
    most = chunk_tokens()
    return next((n for n in range(1, length + 1) if length % n == 0 and rows * (length // n) <= most), length)


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


def _chunk_logits(hidden, table, precision, vocabulary):
    """Logits of one chunk, -inf for the table's unused rows, and their mean over the vocabulary.

    Columns are masked rather than removed, because they may be divided among devices.
    """
    logits = contract(hidden, table, 1, 1, precision)
    if vocabulary == table.shape[0]:
        return logits, logits.mean(-1)
    is_token = (jnp.arange(table.shape[0]) < vocabulary)[None]
    return jnp.where(is_token, logits, -jnp.inf), jnp.where(is_token, logits, 0).sum(-1) / vocabulary


def label_log_probabilities(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    precision: Precision,
    vocabulary: int,
) -> Float[Array, "B T"]:
    """The log-probability of each label under softmax(hidden @ table[:vocabulary].T).

    Uses log_softmax, as search does, which is more precise than the cross-entropy for a probability near 1.
    """
    count = _chunk_count(*labels.shape)

    def score(chunk):
        hidden, labels = chunk
        log_probabilities = jax.nn.log_softmax(_chunk_logits(hidden, table, precision, vocabulary)[0], axis=-1)
        return jnp.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]

    return _unchunk(jax.lax.map(score, (_chunks(hidden, count), _chunks(labels, count))), labels.shape[0])


OfChunk = Callable[[Array, Array, Array, Array], tuple[tuple[Array, ...], Array]]
"""A function of one chunk: the logits of its tokens [N V], their mean over the vocabulary [N], labels [N], weights [N].

It returns sums over the tokens, of which the first is the loss, and the gradient of the loss with respect to the
logits."""


@partial(jax.custom_vjp, nondiff_argnums=(0, 5, 6))
def sums_over_chunks(
    of_chunk: OfChunk,
    hidden: Float[Array, "B T *copies D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    precision: Precision,
    vocabulary: int,
) -> tuple[Float[Array, ""], ...]:
    """The sums of `of_chunk` over the logits `hidden @ table[:vocabulary].T`; only the first is differentiated.

    `hidden` may hold several vectors of each token, as of two passes with different dropout. A chunk then has the
    logits of all vectors of its tokens, and those of one token are neighbours.
    """

    def sums(_, chunk):
        hidden, labels, weights = chunk
        logits, mean = _chunk_logits(_vectors(hidden), table, precision, vocabulary)
        return None, of_chunk(logits, mean, labels, weights)[0]

    _, of_chunks = jax.lax.scan(sums, None, _all_chunks(hidden, labels, weights))
    return jax.tree.map(jnp.sum, of_chunks)


def _all_chunks(hidden, labels, weights):
    """The three arrays, each as equal chunks."""
    rows, length = labels.shape
    count = _chunk_count(rows * math.prod(hidden.shape[2:-1]), length)
    return _chunks(hidden, count), _chunks(labels, count), _chunks(weights, count)


def _vectors(hidden: Float[Array, "*axes D"]) -> Float[Array, "vectors D"]:
    """All vectors along one axis."""
    return hidden.reshape(-1, hidden.shape[-1])


# The forward pass also computes the gradient, from the logits of each chunk; the backward pass only scales it.


def _forward(of_chunk, hidden, table, labels, weights, precision, vocabulary):
    def add(turned, chunk):  # the table's gradient is D x V here: V x D would transpose each chunk's logits
        hidden, labels, weights = chunk
        logits, mean = _chunk_logits(_vectors(hidden), table, precision, vocabulary)
        sums, logits_gradient = of_chunk(logits, mean, labels, weights)
        hidden_gradient = contract(logits_gradient, table, 1, 0, precision).astype(hidden.dtype)
        turned = turned + contract(_vectors(hidden), logits_gradient, 0, 0, precision)
        return turned, (sums, hidden_gradient.reshape(hidden.shape))

    if precision != "float32":
        table = opaque(table.astype(jnp.bfloat16))  # else a GPU would do so for each chunk
    zeros = jnp.zeros(table.shape[::-1], jnp.float32)
    turned, (of_chunks, hidden_gradient) = jax.lax.scan(add, zeros, _all_chunks(hidden, labels, weights))
    return jax.tree.map(jnp.sum, of_chunks), (_unchunk(hidden_gradient, labels.shape[0]), turned.T)


def _backward(of_chunk, precision, vocabulary, gradients, scales):
    del of_chunk, precision, vocabulary
    (hidden_gradient, table_gradient), scale = gradients, scales[0]
    return (hidden_gradient * scale).astype(hidden_gradient.dtype), table_gradient * scale, None, None


sums_over_chunks.defvjp(_forward, _backward)
