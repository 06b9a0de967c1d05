"""Embedding tables with rows that no token has, so that any number of tokens divides over the devices that share them.

The rest of the rows are 0 and stay 0: no token reads them, and the loss is over the true vocabulary
(transformer/training/loss.py), so that their gradient is 0. Checkpoints hold tables, and what an optimizer keeps for
them, without these rows.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from transformer.devices.sharding import map_parameters, parameter_spec
from transformer.model import Parameters, merge
from transformer.model.embeddings import Embedding
from transformer.training.optimizer import Optimizer

MATRIX_UNIT = 128
"""Rows to a multiple of which GPUs and TPUs are given tables: their matrix units compute in such blocks."""


def vocabularies(graph: nnx.GraphDef, parameters: Parameters) -> dict[str, int]:
    """The true number of rows of each embedding table, by its path."""
    return {
        "/".join(map(str, (*path, "table"))): module.vocabulary
        for path, module in nnx.iter_graph(merge(graph, parameters))
        if isinstance(module, Embedding)
    }


def padded_size(vocabulary: int, mesh: Mesh, path: str) -> int:
    """The rows of the table at `path`: the fewest, from the vocabulary on, that suit the devices."""
    axis = parameter_spec(path)[0]
    devices = 1 if axis is None else mesh.shape[axis]
    multiple = devices if mesh.devices.flat[0].platform == "cpu" else math.lcm(devices, MATRIX_UNIT)
    return -(-vocabulary // multiple) * multiple


def true_shapes(graph: nnx.GraphDef, parameters: Parameters) -> Parameters:
    """The shapes that parameters have in checkpoints, given them or their shapes, padded or not."""
    return _with_rows(vocabularies(graph, parameters), parameters)


def padded_shapes(graph: nnx.GraphDef, parameters: Parameters, mesh: Mesh) -> Parameters:
    """The shapes that parameters have on the mesh, given them or their shapes, padded or not."""
    sizes = vocabularies(graph, parameters)
    return _with_rows({path: padded_size(size, mesh, path) for path, size in sizes.items()}, parameters)


def _with_rows(sizes: dict[str, int], parameters: Parameters) -> Parameters:
    def shape(path, x):
        return jax.ShapeDtypeStruct((sizes.get(path, x.shape[0]), *x.shape[1:]), x.dtype)

    return map_parameters(shape, parameters)


def resized(x: jax.Array | np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array | np.ndarray:
    """`x`, with rows of 0 added or its last rows cut off where `like` has another number of them, lying as it does."""
    return x if x.shape == like.shape else _resized(x, like.shape[0], like.sharding)


@partial(jax.jit, static_argnums=(1, 2))
def _resized(x, rows, sharding):
    added = jnp.pad(x[:rows], ((0, max(rows - x.shape[0], 0)), *[(0, 0)] * (x.ndim - 1)))
    return added if sharding is None else jax.lax.with_sharding_constraint(added, sharding)


def on_true_sizes(optimizer: Optimizer, graph: nnx.GraphDef) -> Optimizer:
    """An optimizer whose rule, and whose state, never meet the rows that pad tables."""

    def cut(parameters: Parameters) -> Parameters:
        sizes = vocabularies(graph, parameters)
        return map_parameters(lambda path, x: x[: sizes.get(path, x.shape[0])], parameters)

    def init(parameters: Parameters) -> Any:
        return optimizer.init(cut(parameters))

    def update(gradients: Parameters, state: Any, parameters: Parameters) -> tuple[Parameters, Any]:
        updates, state = optimizer.update(cut(gradients), state, cut(parameters))
        return jax.tree.map(_like, updates, parameters), state

    return optimizer._replace(init=init, update=update)


def _like(x: jax.Array, parameter: jax.Array) -> jax.Array:
    return x if x.shape == parameter.shape else jnp.zeros_like(parameter).at[: x.shape[0]].set(x)


def replicated_rows(sharding: NamedSharding) -> NamedSharding:
    """`sharding` with the first dimension on every device: where rows of any number can lie."""
    return NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec[1:]))
