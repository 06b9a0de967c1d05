"""The loss of a reference, token by token; the gradient that reaches each part; what one update changes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from data.batch import Batch
from dragoman.translation.loaded import LoadedModel
from transformer.decoding.scoring import forced_batch
from transformer.model import Parameters, merge

STEP = 1e-3
"""The length of the update that is tried, as a share of the length of all parameters together."""


class BackPropagation(NamedTuple):
    """The loss of a reference, and its gradient. Losses are in nats: minus the logarithm of a token's probability."""

    losses: list[float]  # of each token of the reference, its end included
    gradients: dict[str, tuple[float, float]]  # by part: the norms of the gradient and of the parameters
    losses_after: list[float]  # after one step of gradient descent, STEP times the parameters' norm


def back_propagation(model: LoadedModel, source: Sequence[int], labels: Sequence[int]) -> BackPropagation:
    """The loss of the labels, without label smoothing and without dropout, and the gradient of its mean."""
    batch = forced_batch(jnp.array([source], jnp.int32), jnp.array([labels], jnp.int32))
    parameters = model.parameters
    differentiate = jax.jit(jax.value_and_grad(mean_loss, argnums=1, has_aux=True), static_argnums=0)
    (_, losses), gradient = differentiate(model.graph, parameters, batch)
    scale = STEP * norm(parameters) / (norm(gradient) or 1.0)
    changed = jax.tree.map(lambda value, slope: value - scale * slope, parameters, gradient)
    (_, after), _ = differentiate(model.graph, changed, batch)
    parts = {name: (norm(slope), norm(value)) for name, slope, value in by_part(gradient, parameters)}
    return BackPropagation(np.asarray(losses).tolist(), parts, np.asarray(after).tolist())


def mean_loss(graph: nnx.GraphDef, parameters: Parameters, batch: Batch) -> tuple[Array, Float[Array, " T"]]:
    """The mean loss of the only row, and the loss of each token."""
    model = merge(graph, parameters)
    logits = model.output().logits(model.features(batch)).astype(jnp.float32)
    each = jax.nn.log_softmax(logits, axis=-1)
    losses = -jnp.take_along_axis(each, batch.target_labels[..., None], axis=-1)[0, :, 0]
    return losses.mean(), losses


def by_part(gradient: Parameters, parameters: Parameters) -> list[tuple[str, Any, Any]]:
    """The parts of a model with their gradients and parameters: "encoder 1 self_attention", "target_embedding", ...

    Layers are counted from 1. A residual connection's normalisation is a part of its own.
    """
    found: list[tuple[str, Any, Any]] = []
    for name in sorted(parameters):
        if name not in ("encoder", "decoder"):
            found.append((name, gradient[name], parameters[name]))
            continue
        for layer in sorted(parameters[name], key=int):
            found += [
                (f"{name} {int(layer) + 1} {part}", gradient[name][layer][part], value)
                for part, value in parameters[name][layer].items()
            ]
    return found


def norm(tree: Any) -> float:
    """The Euclidean length of all numbers of a tree of arrays."""
    return float(np.sqrt(sum(float(jnp.sum(jnp.square(leaf))) for leaf in jax.tree.leaves(tree))))
