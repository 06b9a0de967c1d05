"""How a decoder-only model reads its source: whole, as an encoder does, or from left to right, as it reads its target.

    bidirectional   a1 a2 </s> | <s> x1 x2    each source token attends to all of them
    causal          <s> a1 a2  | <s> x1 x2    each source token attends to earlier ones, and can be predicted from them

In both, the `<s>` that begins the target separates the two. To add a way of reading, write a class like these, and add
its line to READINGS.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from data.batch import BOS
from transformer.model.masks import CausalMask, Mask, PrefixMask, SelfMask


class Bidirectional:
    """Source tokens attend to their whole sentence, up to and including EOS (a prefix LM: Raffel et al. 2020, 3.2)."""

    @staticmethod
    def inputs(source: Int[Array, "B S"], positions: Int[Array, "B S"]) -> Int[Array, "B S"]:
        """The tokens that the model reads for sources that end with EOS."""
        del positions
        return source

    @staticmethod
    def source_mask(segments: Int[Array, "B S"]) -> Mask:
        """The mask of sources alone."""
        return SelfMask(segments)

    @staticmethod
    def mask(source_segments: Int[Array, "B S"], target_segments: Int[Array, "B T"]) -> Mask:
        """The mask of rows of sources followed by rows of targets."""
        return PrefixMask(source_segments, target_segments)

    @staticmethod
    def by_token(
        weights: Float[Array, "B N T S"], segments: Int[Array, "B S"], positions: Int[Array, "B S"]
    ) -> Float[Array, "B N T S"]:
        """Attention to what is read, as attention to the source's own tokens."""
        del segments, positions
        return weights


class Causal:
    """Source tokens attend to earlier ones of their sentence. The source is read after BOS, without its EOS."""

    @staticmethod
    def inputs(source: Int[Array, "B S"], positions: Int[Array, "B S"]) -> Int[Array, "B S"]:
        """The tokens that the model reads for sources that end with EOS: shifted, so that each predicts the next."""
        return jnp.where(positions == 0, BOS, jnp.roll(source, 1, axis=1))

    @staticmethod
    def source_mask(segments: Int[Array, "B S"]) -> Mask:
        """The mask of sources alone."""
        return CausalMask(segments)

    @staticmethod
    def mask(source_segments: Int[Array, "B S"], target_segments: Int[Array, "B T"]) -> Mask:
        """The mask of rows of sources followed by rows of targets; columns of a sentence are in the order of time."""
        return CausalMask(jnp.concatenate([source_segments, target_segments], axis=1))

    @staticmethod
    def by_token(
        weights: Float[Array, "B N T S"], segments: Int[Array, "B S"], positions: Int[Array, "B S"]
    ) -> Float[Array, "B N T S"]:
        """Attention to what is read, as attention to the source's own tokens: EOS gets the attention to BOS."""
        places = jnp.arange(segments.shape[1])[None]
        is_last = jnp.pad(segments[:, 1:], ((0, 0), (0, 1))) != segments
        read_at = jnp.where(is_last, places - positions, jnp.minimum(places + 1, segments.shape[1] - 1))
        return jnp.take_along_axis(weights, jnp.broadcast_to(read_at[:, None, None], weights.shape), axis=-1)


READINGS: dict[str, Any] = {"bidirectional": Bidirectional, "causal": Causal}
