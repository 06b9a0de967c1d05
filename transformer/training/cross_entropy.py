"""The default objective: label-smoothed cross-entropy of the target tokens."""

import jax
import jax.numpy as jnp

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Assembly
from transformer.model.dropout import DropoutKey
from transformer.training.loss import Sums, chunked_loss


def cross_entropy(
    assembly: Assembly, batch: Batch, config: TrainingConfig, dropout_key: DropoutKey | None = None
) -> Sums:
    """Cross-entropy with `config.label_smoothing`, summed over the real target tokens of a batch.

    The loss applies the output layer chunk by chunk; `loss.plain_loss` states the formula.
    """
    hidden, output = assembly.features(batch, dropout_key=dropout_key), assembly.output()
    weights = (batch.target_segments != 0).astype(jnp.float32)
    with jax.named_scope("loss"):
        loss = chunked_loss(
            hidden,
            output.table[...],
            batch.target_labels,
            weights,
            config.label_smoothing,
            output.precision,
            output.vocabulary,
        )
    return Sums(loss, weights.sum(), {})
