"""Masks: which keys each query may attend to. They depend on segments only, and every query has at least one key.

`visible()` is an array that is True where a query may attend to a key. The kernel for packed rows never builds it: it
compares segments block by block (`packed_attention`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


class SelfMask(NamedTuple):
    """Self-attention's mask: a token attends to its own sentence. Padding, segment 0, attends to padding.

    Two sentences of two tokens in a row, and one column of padding:

        segments 1 1 2 2 0  ->  x x . . .
                                x x . . .
                                . . x x .
                                . . x x .
                                . . . . x
    """

    segments: Int[Array, "B T"]

    def visible(self) -> Bool[Array, "B 1 T T"]:
        """True where a query may attend to a key."""
        return CrossMask(self.segments, self.segments).visible()


class CausalMask(NamedTuple):
    """`SelfMask` without the future: a target token attends to itself and to earlier tokens of its sentence.

    The order of columns is the order in time:

        segments 1 1 2 2 0  ->  x . . . .
                                x x . . .
                                . . x . .
                                . . x x .
                                . . . . x
    """

    segments: Int[Array, "B T"]

    def visible(self) -> Bool[Array, "B 1 T T"]:
        """True where a query may attend to a key."""
        length = self.segments.shape[1]
        past = jnp.tril(jnp.ones((length, length), bool))
        return SelfMask(self.segments).visible() & past[None, None]


class CrossMask(NamedTuple):
    """The mask of encoder-decoder attention: a target token attends to the source of its own sentence.

    Padding attends to padding. If the keys of a row have no padding, its padded queries attend to the last key, because
    some kernels give NaN results and gradients for a query without keys. The results at padding never affect a real
    token.
    """

    query_segments: Int[Array, "B T"]
    key_segments: Int[Array, "B S"]

    def visible(self) -> Bool[Array, "B 1 T S"]:
        """True where a query may attend to a key."""
        same = self.query_segments[:, :, None] == self.key_segments[:, None, :]
        is_last = jnp.arange(self.key_segments.shape[1]) == self.key_segments.shape[1] - 1
        is_padding = (self.query_segments == 0)[:, :, None] & is_last[None, None]
        return (same | is_padding)[:, None]


class AncestorMask(NamedTuple):
    """The last row of `CausalMask` for each hypothesis of a beam, over a cache that holds the keys of all hypotheses.

    At each time, the cache has a slot for each of K hypotheses. `ancestors[b, k, l]` is the slot at time l of the
    hypothesis that k continues. Here two hypotheses are at position 2; the second continues the first at time 0, and
    itself at time 1:

        ancestors 0 0 0  ->  x . x . x .
                  0 1 1      x . . x . x
    """

    ancestors: Int[Array, "B K L"]
    positions: Int[Array, " B"]

    def visible(self) -> Bool[Array, "B 1 K S"]:
        """True where a hypothesis may attend to a slot."""
        beams, length = self.ancestors.shape[1:]
        is_ancestor = self.ancestors[..., None] == jnp.arange(beams)[None, None, None]
        is_past = jnp.arange(length)[None] <= self.positions[:, None]
        return (is_ancestor & is_past[:, None, :, None]).reshape(-1, 1, beams, length * beams)


def with_newest(ancestors: Int[Array, "B K L"], positions: Int[Array, " B"]) -> Int[Array, "B K L"]:
    """The ancestors after each hypothesis has written a token at its row's position, to its own slot."""
    _, beams, length = ancestors.shape
    is_new = (jnp.arange(length)[None] == positions[:, None])[:, None]
    return jnp.where(is_new, jnp.arange(beams)[None, :, None], ancestors)


# --- sources and targets in one sequence ---------------------------------------------------------------------


class PrefixMask(NamedTuple):
    """The mask of rows of sources followed by rows of targets, for a model that reads both as one sequence.

    A source token attends to its whole sentence. A target token attends to its source, to itself and to earlier tokens
    of its sentence. Here a source of two tokens, and one of one token, are followed by their targets:

        segments 1 1 2 | 1 1 2  ->  x x . | . . .
                                    x x . | . . .
                                    . . x | . . .
                                    x x . | x . .
                                    x x . | x x .
                                    . . x | . . x

    If sources are read causally too, the mask is the `CausalMask` of the same segments.
    """

    source_segments: Int[Array, "B S"]
    target_segments: Int[Array, "B T"]

    def visible(self) -> Bool[Array, "B 1 both both"]:
        """True where a query may attend to a key."""
        segments = jnp.concatenate(self, axis=1)
        is_source = jnp.arange(segments.shape[1]) < self.source_segments.shape[1]
        same = SelfMask(segments).visible()
        return CausalMask(segments).visible() | (same & is_source[None, None, None])


class PrefixAncestorMask(NamedTuple):
    """`AncestorMask` over a cache that holds the keys of all hypotheses, followed by those of the source."""

    target: AncestorMask
    source_segments: Int[Array, "B S"]

    def visible(self) -> Bool[Array, "B 1 K both"]:
        """True where a hypothesis may attend to a slot or to a source token."""
        target = self.target.visible()
        source = (self.source_segments != 0)[:, None, None]
        source = jnp.broadcast_to(source, (*target.shape[:3], source.shape[-1]))
        return jnp.concatenate([target, source], axis=-1)


RowsMask = SelfMask | CausalMask | CrossMask
"""The masks of an update of an encoder-decoder, which kernels take."""

Mask = RowsMask | AncestorMask | PrefixMask | PrefixAncestorMask
