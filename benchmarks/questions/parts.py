"""Parts that no config can express, to be put in the place of a model's own: the layers themselves stay as they are."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.config import ModelConfig
from transformer.model.dense import Dense, resolve_precision
from transformer.model.dropout import DropoutSite, dropout
from transformer.model.feed_forward import relu
from transformer.model.layers import Residual
from transformer.model.masks import Mask, SelfMask
from transformer.model.reading import Causal
from transformer.model.tap import show

Change = Callable[[Any, ModelConfig, nnx.Rngs], None]
"""Puts other parts into a new model. Their parameters are drawn after all others, which stay the same."""


class NoResidual(Residual):
    """A sub-layer that replaces its input instead of adding to it: sublayer(norm(x)), or norm(sublayer(x))."""

    def after(
        self, x: Float[Array, "B T D"], added: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None
    ) -> Float[Array, "B T D"]:
        """`added` itself, normalised in post-norm; `x` is dropped."""
        show("added", lambda: added)
        x = dropout(added, self.dropout, dropout_site)
        return x if self.norm_position == "pre" else self.norm(x)


def without_residual(*kinds: str) -> Change:
    """A change that takes the residual connections around sub-layers of these kinds out of a decoder-only model."""

    def change(model: Any, config: ModelConfig, rngs: nnx.Rngs) -> None:
        for layer in model.decoder:
            for kind in kinds:
                setattr(layer, f"{kind}_residual", NoResidual(config, rngs=rngs))

    return change


class Unmasked(Causal):
    """Reads as `Causal` does, but each token attends to its whole sentence on both sides, its own future too."""

    @staticmethod
    def source_mask(segments: Int[Array, "B S"]) -> Mask:
        """The mask of sources alone."""
        return SelfMask(segments)

    @staticmethod
    def mask(source_segments: Int[Array, "B S"], target_segments: Int[Array, "B T"]) -> Mask:
        """The mask of rows of sources followed by rows of targets."""
        both = jnp.concatenate([source_segments, target_segments], axis=1)
        return SelfMask(both)


def without_mask(model: Any, config: ModelConfig, rngs: nnx.Rngs) -> None:
    """Takes the mask out of a decoder-only model."""
    del config, rngs
    model.reading = Unmasked


class DeepFeedForward(nnx.Module):
    """A feed-forward network with several hidden layers of one width, or with none: then it is a linear map."""

    def __init__(self, config: ModelConfig, *, hidden: int, width: int, rngs: nnx.Rngs):
        sizes = [config.width, *[width] * hidden, config.width]
        precision = resolve_precision(config.precision)
        self.maps = nnx.List([Dense(*ends, precision=precision, rngs=rngs) for ends in pairwise(sizes)])

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        for one in list(self.maps)[:-1]:
            x = relu(one(x))
        return self.maps[-1](x)


class NoFeedForward(nnx.Module):
    """Adds nothing, and has no parameters."""

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        return jnp.zeros_like(x)


def with_feed_forward(hidden: int, width: int) -> Change:
    """A change that gives each layer of a decoder-only model a feed-forward network of `hidden` layers of `width`."""

    def change(model: Any, config: ModelConfig, rngs: nnx.Rngs) -> None:
        for layer in model.decoder:
            layer.feed_forward = DeepFeedForward(config, hidden=hidden, width=width, rngs=rngs)

    return change


def without_feed_forward(model: Any, config: ModelConfig, rngs: nnx.Rngs) -> None:
    """Takes the feed-forward networks out of a decoder-only model."""
    del config, rngs
    for layer in model.decoder:
        layer.feed_forward = NoFeedForward()
