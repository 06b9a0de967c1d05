"""Which mesh axes divide each dimension of a parameter, and how devices gather parameters and sum gradients."""

import re
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data.errors import InputError
from transformer.model import Parameters

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
"""The mesh axes that divide each dimension of a parameter, by its path; the first pattern that matches decides."""

ROW_AXES = ("data", "fsdp")
"""The mesh axes that divide the rows of a batch."""


def divided(mesh: Mesh, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the axes that have several devices: XLA rejects a sum over single ones beside a tensor axis."""
    return tuple(axis for axis in axes if mesh.shape[axis] > 1)


def parameter_spec(path: str) -> PartitionSpec:
    """The mesh axes that divide the parameter at `path`, such as decoder/0/feed_forward/up/kernel."""
    return next(spec for pattern, spec in PARTITION_RULES if re.search(pattern, path))


def map_parameters(function: Callable[[str, Any], Any], parameters: Parameters) -> Parameters:
    """`function(path, parameter)` for each parameter."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, parameter: function("/".join(key.key for key in keys), parameter), parameters
    )


def _fits(shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> bool:
    return all(axis is None or size % mesh.shape[axis] == 0 for size, axis in zip(shape, spec, strict=False))


def parameter_shardings(mesh: Mesh, parameters: Parameters) -> Parameters:
    """The sharding of each parameter. Raises InputError if a dimension is not divisible by its number of devices."""

    def sharding(path, parameter):
        spec = parameter_spec(path)
        if not _fits(parameter.shape, spec, mesh):
            raise InputError(
                f"parameter {path} of shape {parameter.shape} is not divisible by devices.fsdp {mesh.shape['fsdp']} "
                f"and devices.tensor {mesh.shape['tensor']}: change these or the model's sizes"
            )
        return NamedSharding(mesh, spec)

    return map_parameters(sharding, parameters)


def fsdp_dimension(mesh: Mesh, path: str) -> int | None:
    """The dimension of the parameter at `path` that the fsdp axis divides; None if it divides none."""
    if mesh.shape["fsdp"] == 1:
        return None
    return next((number for number, axis in enumerate(parameter_spec(path)) if axis == "fsdp"), None)


def unsharded(mesh: Mesh, parameters: Parameters) -> Parameters:
    """Parameters gathered over the fsdp axis. The transpose of this function sums gradients and scatters them."""

    def gathered(path, parameter):
        dimension = fsdp_dimension(mesh, path)
        return parameter if dimension is None else jax.lax.all_gather(parameter, "fsdp", axis=dimension, tiled=True)

    return map_parameters(gathered, parameters)


def sum_gradients(mesh: Mesh, gradients: Parameters) -> Parameters:
    """The sums over all rows of each device's values; those that `unsharded` scattered are already summed over fsdp."""

    def total(path, gradient):
        axes = ROW_AXES if fsdp_dimension(mesh, path) is None else ("data",)
        return jax.lax.psum(gradient, divided(mesh, axes))

    return map_parameters(total, gradients)


def specs_over_rows(mesh: Mesh, parameters: Parameters) -> Parameters:
    """How the axes that divide rows divide parameters."""

    def spec(path, parameter):
        del parameter
        dimension = fsdp_dimension(mesh, path)
        return PartitionSpec() if dimension is None else PartitionSpec(*[None] * dimension, "fsdp")

    return map_parameters(spec, parameters)
