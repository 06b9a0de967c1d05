"""R-Drop (Liang et al. 2021, arXiv:2106.14448): a model's predictions should not depend on what dropout leaves out.

Each pair is read twice, with different dropout. The loss is the mean of both cross-entropies, and grows with the
divergence between both predictions. An update takes about twice as long.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Assembly
from transformer.model.dropout import DropoutKey
from transformer.training.chunks import sums_over_chunks
from transformer.training.loss import Sums, loss_of_chunk


def r_drop(assembly: Assembly, batch: Batch, config: TrainingConfig, dropout_key: DropoutKey | None = None) -> Sums:
    """The loss of R-Drop, summed over the real target tokens of a batch; half of the loss in equation 4 of the paper:

        loss = (cross-entropy 1 + cross-entropy 2) / 2 + config.consistency / 2 * divergence

    `extra` has the divergence. Both copies of a row are neighbours, so that a device that has one also has the other.
    """
    twice = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), batch)
    hidden, output = assembly.features(twice, dropout_key=dropout_key), assembly.output()
    rows, length = batch.target_labels.shape
    copies = jnp.moveaxis(hidden.reshape(rows, 2, length, -1), 1, 2)
    weights = (batch.target_segments != 0).astype(jnp.float32)
    of_chunk = partial(
        consistent_chunk,
        smoothing=config.label_smoothing,
        consistency=config.consistency,
        vocabulary=output.vocabulary,
    )
    with jax.named_scope("loss"):
        loss, divergence = sums_over_chunks(
            of_chunk, copies, output.table[...], batch.target_labels, weights, output.precision, output.vocabulary
        )
    return Sums(loss, weights.sum(), {"divergence": divergence})


def consistent_chunk(
    logits: Float[Array, "vectors V"],
    mean: Float[Array, " vectors"],
    labels: Int[Array, " tokens"],
    weights: Float[Array, " tokens"],
    *,
    smoothing: float,
    consistency: float,
    vocabulary: int,
) -> tuple[tuple[Float[Array, ""], Float[Array, ""]], Float[Array, "vectors V"]]:
    """The sums of the loss and of the divergence over one chunk of tokens, and the gradient of the loss."""
    (cross_entropy,), gradient = loss_of_chunk(
        logits, mean, jnp.repeat(labels, 2), jnp.repeat(weights, 2) / 2, smoothing=smoothing, vocabulary=vocabulary
    )
    divergence, its_gradient = jax.value_and_grad(divergence_of_copies)(logits, weights, vocabulary)
    loss = cross_entropy + consistency / 2 * divergence
    return (loss, divergence), gradient + consistency / 2 * its_gradient


def divergence_of_copies(
    logits: Float[Array, "vectors V"], weights: Float[Array, " tokens"], vocabulary: int
) -> Float[Array, ""]:
    """The divergence between the predictions p and q of both copies of each token, in nats, summed with weights.

    It is (KL(p || q) + KL(q || p)) / 2, which is the sum of (p - q) (log p - log q) / 2 over the vocabulary. Label
    smoothing plays no part in it.
    """
    log_p, log_q = jnp.moveaxis(jax.nn.log_softmax(logits).reshape(-1, 2, logits.shape[1]), 1, 0)
    is_token = jnp.arange(logits.shape[1]) < vocabulary  # elsewhere both logarithms are -inf
    differences = jnp.where(is_token, log_p - log_q, 0)
    return jnp.sum(((jnp.exp(log_p) - jnp.exp(log_q)) * differences).sum(-1) * weights) / 2
