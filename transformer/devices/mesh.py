"""`jit` over a mesh of devices (data, fsdp, tensor).

Losses and gradients are sums over real tokens, divided once, so every mesh gives the update of a single device.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from data.batch import Batch
from data.errors import InputError
from transformer.compiler import compiler_options
from transformer.config import Config, DevicesConfig
from transformer.devices.padding import on_true_sizes, padded_shapes, replicated_rows, resized, true_shapes
from transformer.devices.sharding import (
    ROW_AXES,
    divided,
    parameter_shardings,
    parameter_spec,
    specs_over_rows,
    sum_gradients,
    unsharded,
)
from transformer.model import Parameters
from transformer.model.dropout import DropoutKey
from transformer.model.kernels import resolve_kernel
from transformer.training.loss import Sums
from transformer.training.optimizer import build_optimizer
from transformer.training.placement import RowGradients, RowSums
from transformer.training.stacks import map_stacks
from transformer.training.step import Metrics, TrainState, build_eval_step, build_train_step

BY_ROW = PartitionSpec(ROW_AXES)
EVERYWHERE = PartitionSpec()


def build_mesh(config: DevicesConfig) -> Mesh:
    """The devices of all processes as a mesh (data, fsdp, tensor). Raises InputError if the axes do not fit them."""
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
    """Raises InputError if there are several processes and some device is unused: each process must take part."""
    if jax.process_count() > 1 and count != jax.device_count():
        raise InputError(
            f"devices.data {config.data} x devices.fsdp {config.fsdp} x devices.tensor {config.tensor} is {count}, but "
            f"{jax.process_count()} processes have {jax.device_count()} devices: use all of them"
        )


def process_share(mesh: Mesh) -> tuple[int, int]:
    """(part, parts): which of how many equal, consecutive parts of a batch's rows this process holds.

    If the mesh does not divide rows among processes in this way, every process prepares all rows: (0, 1).
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


class MeshPlacement:
    """Rows sharded over the axes data and fsdp, parameters over fsdp and tensor.

    Each device computes on its own rows (`shard_map`), with explicit communication along data and fsdp. XLA adds the
    communication of the tensor axis and of the optimizer.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        # cuDNN's attention does not compile while any axis is left to XLA, even one with a single device.
        by_hand = set(ROW_AXES) if mesh.shape["tensor"] > 1 else set(mesh.axis_names)
        self._on_rows = partial(jax.shard_map, mesh=mesh, axis_names=by_hand, check_vma=False)

    def unsharded(self, parameters: Parameters) -> Parameters:
        """Parameters gathered over the fsdp axis."""
        return unsharded(self.mesh, parameters)

    def sum_over_rows(self, function: RowSums, parameters: Parameters, batch: Batch) -> Sums:
        """The sum of the function's results over the devices that share rows."""

        def device_sums(parameters, rows):
            return jax.lax.psum(function(parameters, rows), divided(self.mesh, ROW_AXES))

        specs = specs_over_rows(self.mesh, parameters), BY_ROW
        return self._on_rows(device_sums, in_specs=specs, out_specs=EVERYWHERE)(parameters, batch)

    def sum_gradients_over_rows(
        self, function: RowGradients, parameters: Parameters, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Any, Parameters]:
        """The sums of the function's results and gradients over the devices that share rows."""

        def device_gradients(parameters, rows, key, number):
            sums, gradients = function(parameters, rows, DropoutKey(key, number[0]))
            return jax.lax.psum(sums, divided(self.mesh, ROW_AXES)), sum_gradients(self.mesh, gradients)

        held = specs_over_rows(self.mesh, parameters)
        inputs, outputs = (held, BY_ROW, EVERYWHERE, BY_ROW), (EVERYWHERE, held)
        mapped = self._on_rows(device_gradients, in_specs=inputs, out_specs=outputs)
        return mapped(parameters, batch, key, jnp.arange(self.mesh.shape["data"] * self.mesh.shape["fsdp"]))


class MeshStrategy:
    """Training on a mesh, with sharded arrays and padded embedding tables.

    `stacks` says whether Muon works on stacks of matrices; by default, it does on GPUs and TPUs.
    """

    def __init__(self, graph: nnx.GraphDef, config: Config, *, stacks: bool | None = None):
        self.graph, self.mesh = graph, build_mesh(config.devices)
        self.row_devices = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        self.row_share = process_share(self.mesh)
        self.device_count = self.mesh.size
        stacks = jax.default_backend() != "cpu" if stacks is None else stacks
        map_matrices = partial(map_stacks, placement_of=parameter_spec) if stacks else jax.tree.map
        optimizer, placement = build_optimizer(config.training, map_matrices), MeshPlacement(self.mesh)
        self.optimizer = on_true_sizes(optimizer, graph) if optimizer.depends_on_shape else optimizer
        kernel = resolve_kernel(config.model.attention_kernel)
        train_step = build_train_step(graph, config.training, self.optimizer, placement, kernel=kernel)
        options = compiler_options()
        self._train = jax.jit(train_step, donate_argnums=0, compiler_options=options)
        self._evaluate = jax.jit(build_eval_step(graph, config.training, placement), compiler_options=options)

    def init_state(self, parameters: Parameters) -> TrainState:
        """The state before the first update."""
        shapes = padded_shapes(self.graph, parameters, self.mesh)
        parameters = jax.device_put(jax.tree.map(resized, parameters, shapes), parameter_shardings(self.mesh, shapes))
        # Not compiled: a compiled function may choose the layout of its results and alias them.
        optimizer = jax.device_put(self.optimizer.init(parameters), self._optimizer_shardings(shapes))
        return TrainState(parameters, optimizer, self._replicate(jnp.zeros((), jnp.int32)))

    def template(self, parameters: Parameters) -> TrainState:
        """Shapes, types and shardings of a state in a checkpoint, for `restore`; tables have their true size."""
        shapes = true_shapes(self.graph, parameters)
        state = TrainState(shapes, jax.eval_shape(self.optimizer.init, shapes), jax.ShapeDtypeStruct((), jnp.int32))

        def as_saved(x, held):
            sharding = held.sharding if x.shape == held.shape else replicated_rows(held.sharding)
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

        return jax.tree.map(as_saved, state, self._layout(parameters))

    def restore(self, parameters: Parameters, optimizer: Any, step: int) -> TrainState:
        """The training state from a checkpoint that was read with `template`."""
        state = TrainState(parameters, optimizer, self._replicate(jnp.asarray(step, jnp.int32)))
        return jax.tree.map(resized, state, self._layout(parameters))

    def train_step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        """The state after one update. `state` is donated, so use only the new one afterwards."""
        return self._train(state, self._place(batch), key)

    def compile(self, parameters: Parameters, rows: int, length: int) -> jax.stages.Compiled:
        """The update for a batch of this shape, compiled but not run; `parameters` are shapes."""
        return self.lower(parameters, rows, length).compile()

    def lower(self, parameters: Parameters, rows: int, length: int) -> jax.stages.Lowered:
        """The update for a batch of this shape, traced but not compiled; `parameters` are shapes."""
        return self._train.lower(self._layout(parameters), self._rows(rows, length), jax.random.key(0))

    def compile_eval(self, parameters: Parameters, rows: int, length: int) -> jax.stages.Compiled:
        """The program of `eval_step` for a batch of this shape, compiled; `parameters` are shapes."""
        return self._evaluate.lower(self._layout(parameters).parameters, self._rows(rows, length)).compile()

    def eval_step(self, state: TrainState, batch: Batch) -> Sums:
        """The loss of a batch, without dropout or label smoothing."""
        return self._evaluate(state.parameters, self._place(batch))

    def saved(self, state: TrainState) -> TrainState:
        """The state as checkpoints store it: tables have their true size."""
        return jax.tree.map(resized, state, self.template(state.parameters))

    def _rows(self, rows: int, length: int) -> Batch:
        """The shapes of a batch on the mesh."""
        row = jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=NamedSharding(self.mesh, BY_ROW))
        return Batch._make([row] * len(Batch._fields))

    def _layout(self, parameters: Parameters) -> TrainState:
        """Shapes, types and shardings of a state on the mesh."""
        shapes = padded_shapes(self.graph, parameters, self.mesh)
        state = TrainState(shapes, jax.eval_shape(self.optimizer.init, shapes), jax.ShapeDtypeStruct((), jnp.int32))
        shardings = TrainState(
            parameter_shardings(self.mesh, shapes),
            self._optimizer_shardings(shapes),
            NamedSharding(self.mesh, EVERYWHERE),
        )
        return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings)

    def _replicate(self, x: jax.Array) -> jax.Array:
        return jax.device_put(x, NamedSharding(self.mesh, EVERYWHERE))

    def _place(self, batch: Batch) -> Batch:
        sharding, parts = NamedSharding(self.mesh, BY_ROW), self.row_share[1]

        def place(rows):
            return jax.make_array_from_process_local_data(sharding, rows, (len(rows) * parts, *rows.shape[1:]))

        return jax.tree.map(place, batch)

    def _optimizer_shardings(self, shapes: Parameters) -> Any:
        """The shardings of an optimizer's state: moments like their parameter, anything else on every device."""
        of_parameter = {
            tuple(key.key for key in keys): (leaf.shape, sharding)
            for (keys, leaf), (_, sharding) in zip(
                jax.tree_util.tree_leaves_with_path(shapes),
                jax.tree_util.tree_leaves_with_path(parameter_shardings(self.mesh, shapes)),
                strict=True,
            )
        }

        def sharding(keys, leaf):
            path = tuple(key.key for key in keys if isinstance(key, jax.tree_util.DictKey))
            shape, where = of_parameter.get(path, (None, None))
            return where if shape == leaf.shape else NamedSharding(self.mesh, EVERYWHERE)

        return jax.tree_util.tree_map_with_path(sharding, jax.eval_shape(self.optimizer.init, shapes))
