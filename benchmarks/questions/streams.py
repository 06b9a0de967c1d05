"""The residual stream of a decoder-only model at each depth, and the gradient that reaches each of its layers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Parameters, merge
from transformer.model.tap import tap
from transformer.training.cross_entropy import cross_entropy

LEAST = 1e-30


class Stream(NamedTuple):
    """Of each layer in turn.

    gradients   the length of the gradient of the mean loss with respect to all parameters of the layer
    alike       the mean cosine between what the layer reads at two positions of a line; 1: all are the same
    kept        the share of target tokens whose vector is closest to their own word embedding, before the layer
    """

    gradients: list[float]
    alike: list[float]
    kept: list[float]


def follow_stream(graph: nnx.GraphDef, parameters: Parameters, batch: Batch) -> Stream:
    """The stream of a batch; cosines and shares are over its real target tokens."""
    gradients, stream = _measure(graph, parameters, batch)
    inputs, is_real = np.asarray(batch.target_inputs), np.asarray(batch.target_segments) > 0
    table, stream = np.asarray(parameters["embedding"]["table"]), np.asarray(stream, np.float32)
    unit = stream / np.maximum(np.linalg.norm(stream, axis=-1, keepdims=True), LEAST) * is_real[None, ..., None]
    counts = is_real.sum(1)
    alike = (np.square(unit.sum(2)).sum((1, 2)) - counts.sum()) / (counts * (counts - 1)).sum()
    nearest = (unit @ (table / np.linalg.norm(table, axis=1, keepdims=True)).T).argmax(-1)
    kept = ((nearest == inputs[None]) & is_real[None]).sum((1, 2)) / counts.sum()
    return Stream(np.asarray(gradients).tolist(), alike.tolist(), kept.tolist())


def _traced(
    graph: nnx.GraphDef, parameters: Parameters, batch: Batch
) -> tuple[Float[Array, " layers"], Float[Array, "layers B T D"]]:
    """The length of each layer's gradient, and the vectors of target tokens before each layer."""
    layers = range(len(parameters["decoder"]))

    def mean_loss(parameters: Parameters) -> Array:
        sums = cross_entropy(merge(graph, parameters), batch, TrainingConfig(label_smoothing=0.0))
        return sums.loss / sums.tokens

    gradient = jax.grad(mean_loss)(parameters)["decoder"]
    lengths = [sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient[str(n)])) ** 0.5 for n in layers]
    with tap(lambda name: name.endswith("self_attention/input")) as shown:
        merge(graph, parameters).features(batch)
    start = batch.source.shape[1]
    return jnp.stack(lengths), jnp.stack([shown[f"decoder/{n}/self_attention/input"][:, start:] for n in layers])


_measure = jax.jit(_traced, static_argnums=0)
