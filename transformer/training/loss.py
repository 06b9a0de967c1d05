"""The loss: label-smoothed cross-entropy of real target tokens, as a sum and a count.

Probabilities and label smoothing are over the vocabulary alone, and not over unused rows of a table (chunks.py).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from transformer.model.dense import Precision
from transformer.training.chunks import sums_over_chunks


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


def chunked_loss(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    labels: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    smoothing: float,
    precision: Precision,
    vocabulary: int,
) -> Float[Array, ""]:
    """The sum of smoothed cross-entropies of `hidden @ table[:vocabulary].T`, equal to `plain_loss` up to rounding."""
    of_chunk = partial(loss_of_chunk, smoothing=smoothing, vocabulary=vocabulary)
    return sums_over_chunks(of_chunk, hidden, table, labels, weights, precision, vocabulary)[0]


def loss_of_chunk(
    logits: Float[Array, "tokens V"],
    mean: Float[Array, " tokens"],
    labels: Int[Array, " tokens"],
    weights: Float[Array, " tokens"],
    *,
    smoothing: float,
    vocabulary: int,
) -> tuple[tuple[Float[Array, ""]], Float[Array, "tokens V"]]:
    """The sum of the smoothed cross-entropies of one chunk, and its gradient with respect to the logits."""
    highest = logits.max(-1, keepdims=True)
    exponents = jnp.exp(logits - highest)
    partition = exponents.sum(-1, keepdims=True)
    log_partition = (jnp.log(partition) + highest)[:, 0]
    loss = jnp.sum(_from_partition(logits, log_partition, mean, labels, smoothing) * weights)
    columns = jnp.arange(logits.shape[1])[None]
    spread: Array | float = smoothing / vocabulary
    if vocabulary < logits.shape[1]:
        spread = spread * (columns < vocabulary)
    wanted = spread + (1 - smoothing) * (labels[:, None] == columns)
    return (loss,), (exponents / partition - wanted) * weights[:, None]
