"""Models whose probabilities are averaged, on the devices of a mesh, and the stepper that a search calls for them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from data.batch import BOS, PAD, UNK
from transformer.decoding.stepper import NEVER, Cache, Stepper
from transformer.model import Assembly, Parameters

WHOLE, BY_ROWS = PartitionSpec(), PartitionSpec("rows")  # replicated on each device, or rows divided among the devices


class Ensemble(NamedTuple):
    """One model or several whose probabilities are averaged, each replicated on every device of a mesh."""

    graphs: tuple[nnx.GraphDef, ...]
    parameters: tuple[Parameters, ...]
    mesh: Mesh

    @classmethod
    def of(cls, *models: tuple[nnx.GraphDef, Parameters], devices: Sequence[jax.Device] = ()) -> "Ensemble":
        """The ensemble of these split models on these devices; by default, on the first device of this process."""
        graphs, parameters = zip(*models, strict=True)
        mesh = Mesh(np.array(devices or jax.local_devices()[:1]), ("rows",))
        return cls(graphs, jax.device_put(parameters, NamedSharding(mesh, WHOLE)), mesh)

    @classmethod
    def of_shapes(cls, *models: tuple[nnx.GraphDef, Parameters], devices: Sequence[jax.Device] = ()) -> "Ensemble":
        """As `of`, with the shapes and types of parameters instead of their values: enough for `compile_search`."""
        graphs, shapes = zip(*models, strict=True)
        mesh = Mesh(np.array(devices or jax.local_devices()[:1]), ("rows",))
        return cls(graphs, shapes_on(mesh, WHOLE, shapes), mesh)


def shapes_on(mesh: Mesh, spec: PartitionSpec, arrays: Any) -> Any:
    """The shapes and types of arrays, as if they were on the devices of the mesh."""
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arrays)


def ensemble_stepper(models: Sequence[Assembly]) -> Stepper:
    """A stepper over the mean of the models' probabilities, in which PAD, UNK and BOS are never chosen."""

    def step(
        tokens: Int[Array, "B K"], positions: Int[Array, " B"], caches: tuple[Cache, ...]
    ) -> tuple[Float[Array, "B K V"], tuple[Cache, ...]]:
        stepped = [model.step(tokens, positions, cache) for model, cache in zip(models, caches, strict=True)]
        each = [jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1) for logits, _ in stepped]
        mean = each[0] if len(each) == 1 else jax.nn.logsumexp(jnp.stack(each), axis=0) - np.log(len(each))
        allowed = np.zeros(mean.shape[-1], np.float32)
        allowed[[PAD, UNK, BOS]] = NEVER
        return mean + allowed[None, None], tuple(cache for _, cache in stepped)

    def reorder(caches: tuple[Cache, ...], parents: Array) -> tuple[Cache, ...]:
        return tuple(model.reorder(cache, parents) for model, cache in zip(models, caches, strict=True))

    def grow(caches: tuple[Cache, ...], length: int) -> tuple[Cache, ...]:
        return tuple(model.grow(cache, length) for model, cache in zip(models, caches, strict=True))

    return Stepper(step, reorder, grow)


MakeStepper = Callable[[Sequence[Assembly]], Stepper]
