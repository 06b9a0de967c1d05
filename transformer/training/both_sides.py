"""An objective for models that read their source causally: cross-entropy of the source's tokens and of the target's."""

from typing import cast

import jax
import jax.numpy as jnp

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Assembly
from transformer.model.decoder_only import DecoderOnly
from transformer.model.dropout import DropoutKey
from transformer.training.loss import Sums, chunked_loss


def both_sides(assembly: Assembly, batch: Batch, config: TrainingConfig, dropout_key: DropoutKey | None = None) -> Sums:
    """Cross-entropy with `config.label_smoothing`, summed over the real tokens of both sides.

    `tokens` counts those of the target, as for every objective. `extra` has the source's part of the loss.
    """
    model = cast(DecoderOnly, assembly)  # as the config demands for this objective
    hidden, output = model.features_of_both(batch, dropout_key=dropout_key), model.output()
    length = batch.source.shape[1]

    def loss_of(hidden, labels, weights):
        table, smoothing = output.table[...], config.label_smoothing
        return chunked_loss(hidden, table, labels, weights, smoothing, output.precision, output.vocabulary)

    with jax.named_scope("loss"):
        weights = (batch.target_segments != 0).astype(jnp.float32)
        target = loss_of(hidden[:, length:], batch.target_labels, weights)
        source = loss_of(hidden[:, :length], batch.source, (batch.source_segments != 0).astype(jnp.float32))
    return Sums(source + target, weights.sum(), {"source_loss": source})
