"""Every intermediate array of one forward pass, as the layers show it through `tap`.

The pass is not compiled as one program, so each operation is computed by itself, whether its result is looked at or
not. Tracing therefore changes no bit of it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.batch import Batch
from dragoman.translation.loaded import LoadedModel
from transformer.decoding.scoring import forced_batch
from transformer.model import merge
from transformer.model.tap import tap


class Trace(NamedTuple):
    """A forward pass over one sentence and its translation."""

    assembled: Any  # the model, an EncoderDecoder
    batch: Batch
    shown: dict[str, Array]  # by the names of `tap`, with one row
    memory: Float[Array, "1 S D"]  # the encoder's output
    features: Float[Array, "1 T D"]  # from which the output layer predicts

    def weights(self, stack: str, kind: str) -> list[Float[np.ndarray, "N T S"]]:
        """The attention weights of each layer: `weights("decoder", "cross_attention")`."""
        layers = range(len(getattr(self.assembled, stack)))
        return [np.asarray(self.shown[f"{stack}/{layer}/{kind}/weights"][0]) for layer in layers]

    def sublayers(self, stack: str) -> list[tuple[int, str]]:
        """The layer and the name of each sub-layer, in the order of the flow."""
        kinds = ["self_attention", *["cross_attention"] * (stack == "decoder"), "feed_forward"]
        return [(layer, kind) for layer in range(len(getattr(self.assembled, stack))) for kind in kinds]

    def stream(self, stack: str) -> list[Float[Array, "1 T D"]]:
        """The residual stream before each sub-layer, and after the last one; in pre-norm, before the final norm."""
        names = [f"{stack}/{layer}/{kind}" for layer, kind in self.sublayers(stack)]
        inputs = [self.shown[f"{name}/input"] for name in names]
        last = self.memory if stack == "encoder" else self.features
        if self.assembled.pre_norm:
            last = inputs[-1] + self.shown[f"{names[-1]}/added"]
        return [*inputs, last]

    def after_layers(self, stack: str) -> list[Float[Array, "1 T D"]]:
        """The residual stream before the first layer, and after each layer."""
        stream = self.stream(stack)
        return stream[:: (len(stream) - 1) // len(getattr(self.assembled, stack))]


def trace(model: LoadedModel, source: Sequence[int], labels: Sequence[int]) -> Trace:
    """The forward pass over a source and the labels that it is to predict, both as ids with EOS."""
    assembled: Any = merge(model.graph, model.parameters)
    batch = forced_batch(jnp.array([source], jnp.int32), jnp.array([labels], jnp.int32))
    with tap() as shown:
        memory = assembled.encode(batch.source, batch.source_segments, batch.source_positions)
        features = assembled.decode(
            batch.target_inputs, memory, batch.source_segments, batch.target_segments, batch.target_positions
        )
    return Trace(assembled, batch, shown, memory, features)


def plain(array: Array) -> Float[np.ndarray, "..."]:
    """The only row of an array, in float32 on the host."""
    return np.asarray(array[0], np.float32)
