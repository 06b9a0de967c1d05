"""The interface between an update and the devices, which each strategy in transformer/devices implements."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Key

from data.batch import Batch
from transformer.model import Parameters
from transformer.model.dropout import DropoutKey
from transformer.training.loss import Sums

RowSums = Callable[[Parameters, Batch], Sums]
"""The sums over a device's own rows, given its shards of the parameters."""

RowGradients = Callable[[Parameters, Batch, DropoutKey], tuple[Any, Parameters]]
"""Sums over a device's own rows, and their gradients with respect to its shards of the parameters."""


@runtime_checkable
class Placement(Protocol):
    """How rows and parameters are distributed over devices. Every placement gives the update of a single device."""

    def unsharded(self, parameters: Parameters) -> Parameters:
        """Whole parameters from a device's shards; called inside the function that is differentiated.

        Its transpose scatters each gradient as soon as it is known, so that no device holds all gradients whole.
        """
        ...

    def sum_over_rows(self, function: RowSums, parameters: Parameters, batch: Batch) -> Sums:
        """The sum of `function(parameters, batch)` over the devices, each with its own rows."""
        ...

    def sum_gradients_over_rows(
        self, function: RowGradients, parameters: Parameters, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Any, Parameters]:
        """As `sum_over_rows`, and also the sum of the gradients, which are sharded like the parameters.

        Each device gets the key together with the number of its slice of the batch.
        """
        ...


class OneDevice:
    """The placement of everything on one device."""

    def unsharded(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters

    def sum_over_rows(self, function: RowSums, parameters: Parameters, batch: Batch) -> Sums:
        """The function's own sums."""
        return function(parameters, batch)

    def sum_gradients_over_rows(
        self, function: RowGradients, parameters: Parameters, batch: Batch, key: jax.Array
    ) -> tuple[Any, Parameters]:
        """The function's own sums and gradients."""
        return function(parameters, batch, DropoutKey(key))
