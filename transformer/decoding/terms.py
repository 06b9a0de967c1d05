"""The terms of a row, and how much of them its hypotheses contain, for terminology search."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from data.batch import PAD
from transformer.decoding.hypotheses import pick


class Terms(NamedTuple):
    """The terms of each row, as sequences of tokens. Sequences with the same item are choices: one of them suffices."""

    tokens: Int[Array, "B M Q"]
    items: Int[Array, "B M"]  # the item of each sequence, from 1; PAD for blank ones

    @property
    def lengths(self) -> Int[Array, "B M"]:
        """The number of tokens of each sequence."""
        return (self.tokens != PAD).sum(-1)

    @property
    def is_same(self) -> Bool[Array, "B M others"]:
        """Whether two sequences belong to the same item."""
        return self.items[:, :, None] == self.items[:, None]

    @property
    def sizes(self) -> Int[Array, "B M"]:
        """The number of tokens of the longest sequence of an item, at the first of its sequences; 0 at the others."""
        earlier = jnp.tril(jnp.ones(self.is_same.shape[1:], bool), -1)[None]
        is_first = (self.items != PAD) & ~(self.is_same & earlier).any(-1)
        longest = jnp.where(self.is_same, self.lengths[:, None], 0).max(-1, initial=0)
        return jnp.where(is_first, longest, 0)


class Progress(NamedTuple):
    """How much of each sequence a hypothesis contains."""

    begun: Bool[Array, "B K M Q"]  # it ends with the first q + 1 tokens
    is_closed: Bool[Array, "B K M"]  # it contains all tokens as whole words, and goes on after them

    def of(self, parents: Int[Array, "B C"]) -> "Progress":
        """The progress of the parents."""
        return Progress(pick(self.begun, parents), pick(self.is_closed, parents))


def no_progress(terms: Terms, beams: int) -> Progress:
    """The progress of empty hypotheses."""
    rows, sequences, longest = terms.tokens.shape
    return Progress(jnp.zeros((rows, beams, sequences, longest), bool), jnp.zeros((rows, beams, sequences), bool))


def follow(progress: Progress, tokens: Int[Array, "B K"], terms: Terms, continues_word: Bool[Array, " V"]) -> Progress:
    """The progress after one more token of each hypothesis. `continues_word` marks tokens that continue a word."""
    is_closed = progress.is_closed | (ends_whole(progress, terms) & ~continues_word[tokens][..., None])
    before = jnp.pad(progress.begun[..., :-1], ((0, 0), (0, 0), (0, 0), (1, 0)), constant_values=True)
    wanted = terms.tokens[:, None]
    return Progress(before & (tokens[:, :, None, None] == wanted) & (wanted != PAD), is_closed)


def ends_whole(progress: Progress, terms: Terms) -> Bool[Array, "B K M"]:
    """Whether a hypothesis ends with a whole sequence."""
    last = jnp.maximum(terms.lengths - 1, 0)[:, None, :, None]
    return jnp.take_along_axis(progress.begun, last, axis=-1)[..., 0]


def is_met(progress: Progress, terms: Terms) -> Bool[Array, "B K M"]:
    """Whether a hypothesis contains a sequence of the same item, which may be the last that it has written."""
    contained = progress.is_closed | ends_whole(progress, terms)
    return (contained[:, :, None] & terms.is_same[:, None]).any(-1) | (terms.items == PAD)[:, None]


def begun_tokens(progress: Progress, terms: Terms) -> Int[Array, "B K M"]:
    """The number of a sequence's first tokens with which a hypothesis ends, if they are not yet all."""
    sizes = jnp.arange(1, terms.tokens.shape[2] + 1)[None, None, None]
    is_part = progress.begun & (sizes < terms.lengths[:, None, :, None])
    return jnp.where(is_part, sizes, 0).max(-1, initial=0)


def tokens_met(progress: Progress, terms: Terms) -> Int[Array, "B K"]:
    """The number of tokens of the items that a hypothesis contains, and of the longest that it has begun."""
    met = is_met(progress, terms)
    begun = jnp.where(met, 0, begun_tokens(progress, terms)).max(-1, initial=0)
    return jnp.where(met, terms.sizes[:, None], 0).sum(-1) + begun
