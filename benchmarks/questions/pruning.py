"""Takes single parts out of a trained model, by setting to zero the parameters through which they add to the stream."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.model import Parameters

ATTENTIONS = ("self_attention", "cross_attention")
SUBLAYERS = (*ATTENTIONS, "feed_forward")


class Head(NamedTuple):
    """A head of an attention, counted from 0. `stack` is "encoder" or "decoder"."""

    stack: str
    layer: int
    kind: str
    head: int

    def __str__(self) -> str:
        return f"{self.stack} {self.layer + 1} {self.kind.replace('_', '-')}, head {self.head + 1}"


def heads_of(parameters: Parameters, heads: int) -> Iterator[Head]:
    """Every head of a model, in the order of the flow."""
    for stack in ("encoder", "decoder"):
        for layer in range(len(parameters.get(stack, {}))):
            for kind in ATTENTIONS:
                if kind in parameters[stack][str(layer)]:
                    yield from (Head(stack, layer, kind, head) for head in range(heads))


def _copied(parameters: Parameters) -> Parameters:
    """The same arrays in dicts of their own."""
    return jax.tree.map(lambda array: array, parameters)


def without_head(parameters: Parameters, which: Head, heads: int) -> Parameters:
    """The parameters with one head's rows of its output projection set to 0, so that it adds nothing."""
    changed = _copied(parameters)
    output = changed[which.stack][str(which.layer)][which.kind]["output"]
    width = output["kernel"].shape[0] // heads
    output["kernel"] = output["kernel"].at[which.head * width : (which.head + 1) * width].set(0.0)
    return changed


def without_sublayers(parameters: Parameters, stack: str, layer: int, *kinds: str) -> Parameters:
    """The parameters with the last map of sub-layers of one layer set to 0; of all of them if none is named."""
    changed = _copied(parameters)
    parts = changed[stack][str(layer)]
    for kind in kinds or SUBLAYERS:
        if kind in parts:
            name = "output" if kind in ATTENTIONS else "down"
            parts[kind][name] = {key: jnp.zeros_like(value) for key, value in parts[kind][name].items()}
    return changed
