"""What the neurons of feed-forward networks respond to: which features of the text explain their variance."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from benchmarks.questions.task import Task
from data.batch import Batch
from transformer.model import Parameters, merge
from transformer.model.feed_forward import relu
from transformer.model.tap import tap

SHARE = 0.5
"""The share of its variance from which on a neuron is counted as explained by a feature."""


class Layer(NamedTuple):
    """The neurons of one layer. `explained` has, by feature, each neuron's share of variance that it explains."""

    is_on: float  # the share of tokens at which a neuron is above 0, mean over neurons
    dead: float  # the share of neurons that are never above 0
    explained: dict[str, Float[np.ndarray, " F"]]


def _activations(graph: nnx.GraphDef, parameters: Parameters, batch: Batch) -> Float[Array, "layers B T F"]:
    """The hidden features of each feed-forward network after its ReLU, at target tokens."""
    model = merge(graph, parameters)
    with tap(lambda name: name.endswith("feed_forward/input")) as shown:
        model.features(batch)
    found = []
    for number, layer in enumerate(model.decoder):
        read = layer.feed_forward_residual.before(shown[f"decoder/{number}/feed_forward/input"])
        found.append(relu(layer.feed_forward.up(read))[:, batch.source.shape[1] :])
    return jnp.stack(found)


activations = jax.jit(_activations, static_argnums=0)


def describe_neurons(task: Task, graph: nnx.GraphDef, parameters: Parameters) -> list[Layer]:
    """The neurons of each layer, on the scored tokens of the task's held-out text."""
    values, features = [], []
    for one in task.held_out:
        scored = np.asarray(one.groups) >= 0
        values.append(np.asarray(activations(graph, parameters, one.batch))[:, scored])
        features.append({name: numbers[scored] for name, numbers in task.features(one.batch).items()})
    whole = np.concatenate(values, axis=1)
    names = {name: np.concatenate([one[name] for one in features]) for name in features[0]}
    return [
        Layer(
            float((layer > 0).mean()),
            float((layer <= 0).all(0).mean()),
            {name: explained_share(layer, numbers) for name, numbers in names.items()},
        )
        for layer in whole
    ]


def explained_share(values: Float[np.ndarray, "tokens F"], feature: Int[np.ndarray, " tokens"]) -> np.ndarray:
    """The share of each column's variance that the means by feature explain, corrected for the number of means.

    1 - (1 - between / total) (n - 1) / (n - k), for n tokens and k different features (Kelley 1935). It is 0 on average
    for a feature that says nothing, and 0 for a constant column.

        explained_share([[0.0], [0.0], [4.0], [4.0]], [1, 1, 2, 2])  ->  [1.0]
    """
    _, group = np.unique(feature, return_inverse=True)
    counts = np.bincount(group)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, group, values)
    within = np.square(values - (sums / counts[:, None])[group]).sum(0)
    total = np.square(values - values.mean(0)).sum(0)
    correction = (len(values) - 1) / max(len(values) - len(counts), 1)
    return np.where(total > 0, 1 - within / np.where(total > 0, total, 1) * correction, 0.0)
