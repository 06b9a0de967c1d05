"""The hypotheses that a search returns, and the operations on them that strategies share."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data.batch import PAD
from transformer.decoding.stepper import NEVER

State = TypeVar("State")  # a pytree of arrays whose first axis is the rows


class Hypotheses(NamedTuple):
    """The best hypotheses of each row, best first; K is `SearchPlan.keep` here, L is `SearchPlan.length`.

    A hypothesis that reached the length limit before EOS is unfinished, and comes after every finished one. If a row
    has fewer than K hypotheses, the others have length 0 and score NEVER.
    """

    tokens: Int[Array, "B K L"]  # including EOS, padded with PAD
    lengths: Int[Array, "B K"]  # including EOS
    log_probabilities: Float[Array, "B K"]  # the sum over all tokens
    scores: Float[Array, "B K"]  # the same, divided by the length penalty
    finished: Bool[Array, "B K"]


def empty_hypotheses(rows: int, hypotheses: int, length: int) -> Hypotheses:
    """Rows without any hypothesis, with which a search starts."""
    shape = (rows, hypotheses)
    never = np.full(shape, NEVER, np.float32)
    empty = Hypotheses(
        tokens=np.full((*shape, length), PAD, np.int32),
        lengths=np.zeros(shape, np.int32),
        log_probabilities=never,
        scores=never,
        finished=np.zeros(shape, bool),
    )
    return jax.tree.map(jnp.asarray, empty)


def pick(values: Array, indices: Int[Array, "B K"]) -> Array:
    """values[b, indices[b, k]] for each row b."""
    return jax.vmap(lambda row, chosen: row[chosen])(values, indices)


def append(
    written: Int[Array, "B K L"], parents: Int[Array, "B K"], tokens: Int[Array, "B K"], positions: Int[Array, " B"]
) -> Int[Array, "B K L"]:
    """The parents' tokens, each with one more token at its row's position."""
    return put(pick(written, parents), tokens, positions)


def put(written: Int[Array, "B K L"], tokens: Int[Array, "B K"], positions: Int[Array, " B"]) -> Int[Array, "B K L"]:
    """`written` with these tokens at their row's position."""
    is_position = jnp.arange(written.shape[-1])[None] == positions[:, None]
    return jnp.where(is_position[:, None], tokens[..., None], written)


def select_rows(is_new: Bool[Array, " B"], new: State, old: State) -> State:
    """The state with the rows of `new` where `is_new`, and those of `old` elsewhere."""
    return jax.tree.map(lambda x, y: jnp.where(is_new.reshape(-1, *[1] * (x.ndim - 1)), x, y), new, old)


def vocabulary_mask(tokens: Int[Array, "B K L"], chosen: Bool[Array, "B K L"], vocabulary: int) -> Bool[Array, "B K V"]:
    """True for each token of the vocabulary that is at one of the chosen positions."""
    rows, beams = tokens.shape[:2]
    blank = jnp.zeros((rows, beams, vocabulary), bool)
    marked = jnp.where(chosen, tokens, vocabulary)
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    return blank.at[row, beam, marked].set(True, mode="drop")


def best_of_both(first: Hypotheses, second: Hypotheses, hypotheses: int) -> Hypotheses:
    """The best of both by score, best first; of equal scores, those of the first come first."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    _, indices = jax.lax.top_k(both.scores, hypotheses)
    return jax.tree.map(lambda values: pick(values, indices), both)


def finished_first(first: Hypotheses, second: Hypotheses, keep: int) -> Hypotheses:
    """The `keep` best of both: finished ones, then those cut off by a limit, then blanks if there are too few."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    order = jnp.lexsort((-both.scores, ~both.finished), axis=-1)[:, :keep]
    best = jax.tree.map(lambda values: pick(values, order), both)
    exists = best.scores > NEVER
    return best._replace(
        tokens=jnp.where(exists[..., None], best.tokens, PAD), lengths=jnp.where(exists, best.lengths, 0)
    )
