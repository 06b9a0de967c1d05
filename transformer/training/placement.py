"""What an update asks of the devices: that, and no more, is what each strategy of transformer/devices answers."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Key

from data.batch import Batch
from transformer.model import Parameters
from transformer.model.dropout import DropoutKey
from transformer.training.loss import Sums

RowSums = Callable[[Parameters, Batch], Sums]
"""What a device adds up over its own rows, given what it holds of the parameters."""

RowGradients = Callable[[Parameters, Batch, DropoutKey], tuple[Any, Parameters]]
"""Sums over a device's own rows and their gradients: those with respect to what it holds of the parameters."""


@runtime_checkable
class Placement(Protocol):
    """Where the rows of a batch and the parameters lie. Every placement gives the update of one device."""

    def unsharded(self, parameters: Parameters) -> Parameters:
        """Whole parameters, from what a device holds of them; called inside the function that is differentiated.

        Its transpose scatters the gradient as soon as it is known, so that no device ever holds a whole one.
        """
        ...

    def sum_over_rows(self, function: RowSums, parameters: Parameters, batch: Batch) -> Sums:
        """The sum of `function(parameters, batch)` over the devices, each with the rows that lie there."""
        ...

    def sum_gradients_over_rows(
        self, function: RowGradients, parameters: Parameters, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Any, Parameters]:
        """As `sum_over_rows`, also of gradients, which are laid out like the parameters afterwards.

        Each device is given the key together with the number of its slice of the batch.
        """
        ...


class OneDevice:
    """The placement where everything lies on one device."""

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
