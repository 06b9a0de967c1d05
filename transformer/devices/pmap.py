"""`pmap`: a replica of the state on each device; the same pure step as on a mesh."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from data.batch import Batch
from data.errors import InputError
from transformer.config import Config
from transformer.devices.mesh import check_all_used
from transformer.model import Parameters
from transformer.model.dropout import DropoutKey
from transformer.model.kernels import resolve_kernel
from transformer.training.loss import Sums
from transformer.training.optimizer import build_optimizer
from transformer.training.placement import RowGradients, RowSums
from transformer.training.step import Metrics, TrainState, build_eval_step, build_train_step

AXIS = "data"


def own(replicas: jax.Array) -> jax.Array:
    """This process's first of the equal values that `pmap` returns, without communication between processes."""
    return replicas.addressable_data(0)[0]


class ReplicaPlacement:
    """The placement inside a function that `pmap` maps over slices of the rows: parameters are replicated."""

    def unsharded(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters

    def sum_over_rows(self, function: RowSums, parameters: Parameters, batch: Batch) -> Sums:
        """The sum of the function's results over the devices."""
        return jax.lax.psum(function(parameters, batch), AXIS)

    def sum_gradients_over_rows(
        self, function: RowGradients, parameters: Parameters, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Any, Parameters]:
        """The sums of the function's results and gradients over the devices."""
        return jax.lax.psum(function(parameters, batch, DropoutKey(key, jax.lax.axis_index(AXIS))), AXIS)


class PmapStrategy:
    """Training under `pmap`: the state is replicated on each device of each process, and the batch's rows are split."""

    def __init__(self, graph: nnx.GraphDef, config: Config):
        count = config.devices.data or jax.device_count()
        if count > jax.device_count():
            raise InputError(f"devices.data is {count}, but only {jax.device_count()} devices were found")
        check_all_used(count, config.devices)
        self.devices = jax.devices()[:count]
        self.local_count = sum(device.process_index == jax.process_index() for device in self.devices)
        self.row_devices = self.device_count = count
        self.row_share = (jax.process_index(), jax.process_count())
        self.optimizer, placement = build_optimizer(config.training), ReplicaPlacement()
        mapped = partial(jax.pmap, axis_name=AXIS, devices=self.devices)
        kernel = resolve_kernel(config.model.attention_kernel)
        train_step = build_train_step(graph, config.training, self.optimizer, placement, kernel=kernel)
        self._train = mapped(train_step, in_axes=(0, 0, None), donate_argnums=0)
        self._evaluate = mapped(build_eval_step(graph, config.training, placement))

    def init_state(self, parameters: Parameters) -> TrainState:
        """The state before the first update."""
        return self.restore(parameters, self.optimizer.init(parameters), 0)

    def template(self, parameters: Parameters) -> TrainState:
        """Shapes and types of a state, for `restore`."""
        return TrainState(
            parameters, jax.eval_shape(self.optimizer.init, parameters), jax.ShapeDtypeStruct((), jnp.int32)
        )

    def restore(self, parameters: Parameters, optimizer: Any, step: int) -> TrainState:
        """The state from a checkpoint, replicated on every device."""
        state = TrainState(parameters, optimizer, jnp.asarray(step, jnp.int32))
        copies = jax.tree.map(lambda x: np.stack([x] * self.local_count), jax.device_get(state))
        # Under the axis of the update, which would be compiled again for an array of another axis.
        return jax.pmap(lambda x: x, axis_name=AXIS, devices=self.devices)(copies)

    def train_step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        """The state after one update. `state` is donated, so use only the new one afterwards."""
        state, metrics = self._train(state, self._split(batch), key)
        return state, jax.tree.map(own, metrics)

    def compile(self, parameters: Parameters, rows: int, length: int) -> jax.stages.Compiled:
        """The update for a batch of this shape, compiled but not run; `parameters` are shapes."""
        row = jax.ShapeDtypeStruct((rows // self.device_count, length), jnp.int32)
        given = self.template(parameters), Batch._make([row] * len(Batch._fields))
        copies = jax.tree.map(lambda x: jax.ShapeDtypeStruct((self.local_count, *x.shape), x.dtype), given)
        return self._train.lower(*copies, jax.random.key(0)).compile()

    def eval_step(self, state: TrainState, batch: Batch) -> Sums:
        """The loss of a batch, without dropout or label smoothing."""
        return jax.tree.map(own, self._evaluate(state.parameters, self._split(batch)))

    def saved(self, state: TrainState) -> TrainState:
        """The state as checkpoints store it: one copy of the replicated arrays."""
        everywhere = NamedSharding(Mesh(np.array(self.devices), (AXIS,)), PartitionSpec())

        def one(replicas):
            copies = [shard.data[0] for shard in replicas.addressable_shards]
            return jax.make_array_from_single_device_arrays(replicas.shape[1:], everywhere, copies)

        return jax.tree.map(one, state)

    def _split(self, batch: Batch) -> Batch:
        return jax.tree.map(lambda x: np.reshape(x, (self.local_count, -1, *x.shape[1:])), batch)
