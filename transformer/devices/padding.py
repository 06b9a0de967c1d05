"""Embedding tables padded with unused rows, so that a vocabulary of any size can be divided among devices.

The added rows are 0 and stay 0: no token reads them, and the loss is over the true vocabulary
(transformer/training/chunks.py), so their gradient is 0. In checkpoints, neither tables nor the optimizer's state for
them have these rows.
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
"""On GPUs and TPUs, tables are padded to a multiple of this, as matrix units compute in such blocks."""


def vocabularies(graph: nnx.GraphDef, parameters: Parameters) -> dict[str, int]:
    """The true number of rows of each embedding table, by its path."""
    return {
        "/".join(map(str, (*path, "table"))): module.vocabulary
        for path, module in nnx.iter_graph(merge(graph, parameters))
        if isinstance(module, Embedding)
    }


def padded_size(vocabulary: int, mesh: Mesh, path: str) -> int:
    """The padded number of rows of the table at `path`: the smallest that suits the devices."""
    axis = parameter_spec(path)[0]
    devices = 1 if axis is None else mesh.shape[axis]
    multiple = devices if mesh.devices.flat[0].platform == "cpu" else math.lcm(devices, MATRIX_UNIT)
    return -(-vocabulary // multiple) * multiple


def true_shapes(graph: nnx.GraphDef, parameters: Parameters) -> Parameters:
    """The shapes of parameters in checkpoints, from parameters or their shapes, padded or not."""
    return _with_rows(vocabularies(graph, parameters), parameters)


def padded_shapes(graph: nnx.GraphDef, parameters: Parameters, mesh: Mesh) -> Parameters:
    """The shapes of parameters on the mesh, from parameters or their shapes, padded or not."""
    sizes = vocabularies(graph, parameters)
    return _with_rows({path: padded_size(size, mesh, path) for path, size in sizes.items()}, parameters)


def _with_rows(sizes: dict[str, int], parameters: Parameters) -> Parameters:
    def shape(path, x):
        return jax.ShapeDtypeStruct((sizes.get(path, x.shape[0]), *x.shape[1:]), x.dtype)

    return map_parameters(shape, parameters)


def resized(x: jax.Array | np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array | np.ndarray:
    """`x` with the number of rows and the sharding of `like`: rows of 0 are added, or the last rows removed."""
    return x if x.shape == like.shape else _resized(x, like.shape[0], like.sharding)


@partial(jax.jit, static_argnums=(1, 2))
def _resized(x, rows, sharding):
    added = jnp.pad(x[:rows], ((0, max(rows - x.shape[0], 0)), *[(0, 0)] * (x.ndim - 1)))
    return added if sharding is None else jax.lax.with_sharding_constraint(added, sharding)


def on_true_sizes(optimizer: Optimizer, graph: nnx.GraphDef) -> Optimizer:
    """The optimizer, with a rule and a state that never see the rows that pad tables."""

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
    """`sharding` with the first dimension undivided, which allows any number of rows."""
    return NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec[1:]))
