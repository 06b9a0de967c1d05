"""How one update is laid over the devices: a mesh with a table of who holds what, or replicas under pmap.

Losses and gradients are sums over real tokens, divided once: every strategy gives the single-device update.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data.batch import Batch
from data.errors import InputError
from transformer.config import Config, DevicesConfig
from transformer.model import Parameters
from transformer.training.loss import LossSums
from transformer.training.optimizer import build_optimizer
from transformer.training.step import Metrics, TrainState, build_gradient_sums, build_train_step, evaluation_sums

PARTITION_RULES = (
    (r"embedding/table$", PartitionSpec("tensor", "fsdp")),
    (r"attention/(query|key|value)/kernel$", PartitionSpec("fsdp", "tensor")),
    (r"attention/(query|key|value)/bias$", PartitionSpec("tensor")),
    (r"attention/output/kernel$", PartitionSpec("tensor", "fsdp")),
    (r"feed_forward/(up|gate)/kernel$", PartitionSpec("fsdp", "tensor")),
    (r"feed_forward/(up|gate)/bias$", PartitionSpec("tensor")),
    (r"feed_forward/down/kernel$", PartitionSpec("tensor", "fsdp")),
    (r"", PartitionSpec()),
)
"""Which mesh axes share each dimension of a parameter, by its path; the first pattern that is found decides."""

ROW_AXES = ("data", "fsdp")
ROWS = PartitionSpec(ROW_AXES)
"""Rows of a batch are shared by the devices of both axes."""


def parameter_spec(path: str) -> PartitionSpec:
    """The mesh axes that share the parameter at `path`, such as decoder/0/feed_forward/up/kernel."""
    return next(spec for pattern, spec in PARTITION_RULES if re.search(pattern, path))


def build_mesh(config: DevicesConfig) -> Mesh:
    """All devices of all processes as a mesh (data, fsdp, tensor). InputError when the axes do not multiply to them."""
    count, shared = jax.device_count(), config.fsdp * config.tensor
    data = config.data or max(count // shared, 1)
    if data * shared > count or (not config.data and count % shared):
        raise InputError(
            f"devices.data {config.data or 'all'} x devices.fsdp {config.fsdp} x devices.tensor {config.tensor} does "
            f"not fit the {count} devices found: change the numbers so that their product is at most {count}"
        )
    check_all_used(data * shared, config)
    devices = jax.devices()[: data * shared]
    axis_types = (AxisType.Auto,) * 3
    return jax.make_mesh((data, config.fsdp, config.tensor), ("data", "fsdp", "tensor"), axis_types, devices=devices)


def check_all_used(count: int, config: DevicesConfig) -> None:
    """InputError unless all devices are used, where there are several processes: each takes part with its own."""
    if jax.process_count() > 1 and count != jax.device_count():
        raise InputError(
            f"devices.data {config.data} x devices.fsdp {config.fsdp} x devices.tensor {config.tensor} is {count}, but "
            f"{jax.process_count()} processes have {jax.device_count()} devices: several processes use all of them"
        )


def share_of_rows(mesh: Mesh) -> tuple[int, int]:
    """Which of how many equal parts of a batch's rows, in their order, this process holds; (0, 1) is all of them.

    Where the mesh deals rows out to processes in another way, or twice, every process makes all of them.
    """
    owners = [
        {device.process_index for device in group.flat} for group in mesh.devices.reshape(-1, mesh.shape["tensor"])
    ]
    count = jax.process_count()
    size = len(owners) // count
    if size * count != len(owners) or any(len(owner) > 1 for owner in owners):
        return 0, 1
    parts = [set().union(*owners[part * size : (part + 1) * size]) for part in range(count)]
    is_in_parts = all(len(part) == 1 for part in parts)
    return (parts.index({jax.process_index()}), count) if is_in_parts else (0, 1)


def map_parameters(function: Callable[[str, Any], Any], parameters: Parameters) -> Parameters:
    """`function(path, parameter)` of each parameter."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, parameter: function("/".join(key.key for key in keys), parameter), parameters
    )


def _fits(shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> bool:
    return all(axis is None or size % mesh.shape[axis] == 0 for size, axis in zip(shape, spec, strict=False))


def _shardings(mesh: Mesh, parameters: Parameters) -> Parameters:
    """Where each parameter lies. InputError when a dimension does not divide by the devices that share it."""

    def sharding(path, parameter):
        spec = parameter_spec(path)
        if not _fits(parameter.shape, spec, mesh):
            raise InputError(
                f"parameter {path} of shape {parameter.shape} does not divide over devices.fsdp {mesh.shape['fsdp']} "
                f"and devices.tensor {mesh.shape['tensor']}: change these or the model's sizes"
            )
        return NamedSharding(mesh, spec)

    return map_parameters(sharding, parameters)


def shared_by_fsdp(mesh: Mesh, path: str) -> int | None:
    """The dimension of the parameter at `path` that the fsdp axis shares out; None where each device has all of it."""
    if mesh.shape["fsdp"] == 1:
        return None
    return next((number for number, axis in enumerate(parameter_spec(path)) if axis == "fsdp"), None)


def gather_over_fsdp(mesh: Mesh, parameters: Parameters) -> Parameters:
    """Whole parameters on each device of the fsdp axis. The gradient of this adds up and shares out again."""

    def whole(path, parameter):
        dimension = shared_by_fsdp(mesh, path)
        return parameter if dimension is None else jax.lax.all_gather(parameter, "fsdp", axis=dimension, tiled=True)

    return map_parameters(whole, parameters)


def add_up_gradients(mesh: Mesh, gradients: Parameters) -> Parameters:
    """The sums over all rows of gradients that each device has of its own rows: see `gather_over_fsdp`."""

    def total(path, gradient):
        return jax.lax.psum(gradient, ROW_AXES if shared_by_fsdp(mesh, path) is None else "data")

    return map_parameters(total, gradients)


def specs_over_rows(mesh: Mesh, parameters: Parameters) -> Parameters:
    """How the devices that share out rows share out parameters."""

    def spec(path, parameter):
        del parameter
        dimension = shared_by_fsdp(mesh, path)
        return PartitionSpec() if dimension is None else PartitionSpec(*[None] * dimension, "fsdp")

    return map_parameters(spec, parameters)


class MeshStrategy:
    """`jit` over a mesh: arrays know where they lie.

    What is computed of rows is computed where they lie, by a program for the rows of one device (`shard_map`), with
    its communication written out; the communication of the tensor axis, and of the optimizer, is added by XLA.
    """

    def __init__(self, graph: nnx.GraphDef, config: Config):
        self.mesh = build_mesh(config.devices)
        self.row_devices = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        self.row_share = share_of_rows(self.mesh)
        self.device_count = self.mesh.size
        self.optimizer = build_optimizer(config.training)
        gather, add_up = partial(gather_over_fsdp, self.mesh), partial(add_up_gradients, self.mesh)
        # An axis left to XLA, even of one device, is one that cuDNN's attention cannot be compiled beside.
        by_hand = set(ROW_AXES) if self.mesh.shape["tensor"] > 1 else set(self.mesh.axis_names)
        on_rows = partial(jax.shard_map, mesh=self.mesh, axis_names=by_hand, check_vma=False)
        one_device, everywhere = build_gradient_sums(graph, config, gather=gather), PartitionSpec()

        def sums_of_rows(parameters, batch, key, part):
            sums, gradients = one_device(parameters, batch, key, part[0])
            return jax.lax.psum(sums, ROW_AXES), add_up(gradients)

        def gradient_sums(parameters, batch, key):
            held = specs_over_rows(self.mesh, parameters)
            mapped = on_rows(sums_of_rows, in_specs=(held, ROWS, everywhere, ROWS), out_specs=(everywhere, held))
            return mapped(parameters, batch, key, jnp.arange(self.row_devices))

        def evaluate_rows(parameters, batch):
            return jax.lax.psum(evaluation_sums(graph, gather(parameters), batch), ROW_AXES)

        def evaluate(parameters, batch):
            specs = specs_over_rows(self.mesh, parameters), ROWS
            return on_rows(evaluate_rows, in_specs=specs, out_specs=everywhere)(parameters, batch)

        self._train = jax.jit(build_train_step(config, gradient_sums), donate_argnums=0)
        self._evaluate = jax.jit(evaluate)

    def init_state(self, parameters: Parameters) -> TrainState:
        """The state before the first update."""
        parameters = jax.device_put(parameters, _shardings(self.mesh, parameters))
        # A compiled function would be free to lay out or alias its results as it likes; the template decides instead.
        optimizer = jax.device_put(self.optimizer.init(parameters), self._optimizer_shardings(parameters))
        return TrainState(parameters, optimizer, self._replicate(jnp.zeros((), jnp.int32)))

    def template(self, parameters: Parameters) -> TrainState:
        """Shapes, types and places of a state, for `restore`."""
        state = TrainState(
            parameters, jax.eval_shape(self.optimizer.init, parameters), jax.ShapeDtypeStruct((), jnp.int32)
        )
        shardings = TrainState(
            _shardings(self.mesh, parameters),
            self._optimizer_shardings(parameters),
            NamedSharding(self.mesh, PartitionSpec()),
        )
        return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings)

    def restore(self, parameters: Parameters, optimizer: Any, step: int) -> TrainState:
        """The state of a checkpoint, read with `template`."""
        return TrainState(parameters, optimizer, self._replicate(jnp.asarray(step, jnp.int32)))

    def train_step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        """One update. `state` is donated: use only the new one afterwards."""
        return self._train(state, self._place(batch), key)

    def compile(self, parameters: Parameters, rows: int, length: int) -> jax.stages.Compiled:
        """The update of a batch of so many rows, compiled but not run; `parameters` are shapes."""
        row = jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=NamedSharding(self.mesh, ROWS))
        batch = Batch._make([row] * len(Batch._fields))
        return self._train.lower(self.template(parameters), batch, jax.random.key(0)).compile()

    def eval_step(self, state: TrainState, batch: Batch) -> LossSums:
        """The loss of a batch, without dropout or smoothing."""
        return self._evaluate(state.parameters, self._place(batch))

    def saved(self, state: TrainState) -> TrainState:
        """The state as checkpoints hold it."""
        return state

    def _replicate(self, x: jax.Array) -> jax.Array:
        return jax.device_put(x, NamedSharding(self.mesh, PartitionSpec()))

    def _place(self, batch: Batch) -> Batch:
        sharding, parts = NamedSharding(self.mesh, ROWS), self.row_share[1]

        def place(rows):
            return jax.make_array_from_process_local_data(sharding, rows, (len(rows) * parts, *rows.shape[1:]))

        return jax.tree.map(place, batch)

    def _optimizer_shardings(self, parameters: Parameters) -> Any:
        """Moments lie where their parameter lies; whatever else an optimiser keeps is on every device."""
        of_parameter = {
            tuple(key.key for key in keys): (leaf.shape, sharding)
            for (keys, leaf), (_, sharding) in zip(
                jax.tree_util.tree_leaves_with_path(parameters),
                jax.tree_util.tree_leaves_with_path(_shardings(self.mesh, parameters)),
                strict=True,
            )
        }

        def sharding(keys, leaf):
            path = tuple(key.key for key in keys if isinstance(key, jax.tree_util.DictKey))
            shape, where = of_parameter.get(path, (None, None))
            return where if shape == leaf.shape else NamedSharding(self.mesh, PartitionSpec())

        return jax.tree_util.tree_map_with_path(sharding, jax.eval_shape(self.optimizer.init, parameters))
