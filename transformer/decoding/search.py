"""What every search strategy takes and returns."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from data.batch import PAD

NEVER = -np.inf  # the score of what must not be chosen

Cache = Any  # any pytree: only the stepper looks inside


class Stepper(NamedTuple):
    """All that a search knows of a model.

    `step(tokens [B K], positions [B], cache)` gives `(log_probabilities [B K V], cache)` for the token after the given
    ones, which stand at their row's position: float32, NEVER for what may not be generated. `reorder(cache, parents
    [B K])` gives the cache in which beam k of a row continues what was its beam parents[k]. `grow(cache, length)` gives
    the cache with room for `length` tokens. Every array in a cache has the rows of the search in front.
    """

    step: Callable[[Array, Array, Cache], tuple[Array, Cache]]
    reorder: Callable[[Cache, Array], Cache]
    grow: Callable[[Cache, int], Cache] = lambda cache, length: cache


class Settings(NamedTuple):
    """The static side of a search: a program is compiled for each value."""

    beams: int  # hypotheses alive in a row
    keep: int  # hypotheses returned for a row, at most `beams`
    stages: tuple[int, ...]  # lengths to which the cache grows; the last is the longest output, EOS counted
    length_penalty: float = 1.0
    penalty: Literal["gnmt", "power"] = "gnmt"
    patience: float = 1.0  # a row is complete when patience * beams hypotheses have finished
    groups: int = 1  # diverse beam search: groups of beams / groups hypotheses
    diversity: float = 0.0  # what a token costs for each hypothesis of an earlier group that chose it at the same step
    temperature: float = 1.0  # sampling: log-probabilities are divided by it
    top_k: int = 0  # sampling: only the likeliest tokens; 0: all
    top_p: float = 1.0  # sampling: only the likeliest tokens that together have this probability
    repetition_penalty: float = 1.0  # log-probabilities of tokens that were written before are multiplied by it
    unrepeated: int = 0  # no run of this many tokens is written twice; 0: no such rule
    rows: int = 0  # rows that a step computes; 0: all

    @property
    def length(self) -> int:
        """The longest output in tokens, EOS counted."""
        return self.stages[-1]


class Requirements(NamedTuple):
    """What each row asks of its output. Tokens are padded with PAD."""

    limits: Int[Array, " B"]  # longest output in tokens, EOS counted; 0: the row is left out
    minimums: Int[Array, " B"]  # fewest tokens before EOS
    prefixes: Int[Array, "B P"]  # tokens with which the output begins
    terms: Int[Array, "B M Q"]  # up to M terms of up to Q tokens that the output must contain
    keys: UInt32[Array, "B 2"]  # of the row's random numbers

    @classmethod
    def only(cls, limits: Int[Array, " B"]) -> "Requirements":
        """A length limit for each row, and nothing else."""
        rows = len(limits)
        none = jnp.zeros((rows, 0), jnp.int32)
        return cls(limits, jnp.zeros_like(limits), none, none[:, :, None], jnp.zeros((rows, 2), jnp.uint32))


class Hypotheses(NamedTuple):
    """The best hypotheses of each row, best first; K is `Settings.keep` here, L is `Settings.length`.

    A hypothesis that met the length limit before EOS is unfinished, and stands behind every finished one. Where a row
    has fewer hypotheses than K, the rest have length 0 and score NEVER.
    """

    tokens: Int[Array, "B K L"]  # EOS included, PAD behind it
    lengths: Int[Array, "B K"]  # EOS counted
    log_probabilities: Float[Array, "B K"]  # of all tokens together
    scores: Float[Array, "B K"]  # the same, divided by the length penalty
    finished: Bool[Array, "B K"]


State = Any  # a NamedTuple with `steps` [B], `is_open` [B] and `cache`, whose arrays all have the rows in front

Advance = Callable[[State], State]


def run_steps(stepper: Stepper, state: State, settings: Settings, advance: Advance) -> State:
    """The state, without its cache, after every open row was advanced to its end or to the length limit.

    `advance(state)` takes each open row one step further, and leaves the others as they are. A step has the shape of
    `settings.rows` rows, its slots: a row that is complete costs nothing any more, since the next one takes its slot at
    once, each at a step of its own. What a row computes does not depend on its company. Attention over a cache costs
    what there is room for, so that the cache grows in stages; a row that needs more room waits for the next stage.
    """
    for length in settings.stages:
        if settings.rows in (0, len(state.steps)):
            state = _advance_all(state._replace(cache=stepper.grow(state.cache, length)), length, advance)
        else:
            is_last = length == settings.length
            state = _advance_in_slots(stepper, state, length, settings.rows, advance, keeps_cache=not is_last)
    return state._replace(cache=None)


def _advance_all(state: State, length: int, advance: Advance) -> State:
    """The state after its open rows were advanced together to `length` or to their ends."""
    return jax.lax.while_loop(lambda now: _is_going(now, length).any(), advance, state)


def _is_going(state: State, length: int) -> Bool[Array, " B"]:
    """The rows that have a step to take before `length`."""
    return state.is_open & (state.steps < length)


class Slots(NamedTuple):
    """The rows that take steps, and all others."""

    state: State  # of the rows in the slots
    rows: Int[Array, " slots"]  # which rows these are; NOBODY in an empty slot
    begun: Int[Array, ""]  # rows that were given a slot so far
    done: State  # of all rows; those that have left their slots as they are then


NOBODY = -1


def _advance_in_slots(
    stepper: Stepper, state: State, length: int, slots: int, advance: Advance, *, keeps_cache: bool
) -> State:
    """`_advance_all`, as many rows at a time as there are slots, whichever they are."""
    order = jnp.argsort(~state.is_open, stable=True)
    count = state.is_open.sum()

    def is_leaving(now: Slots) -> Array:
        return (now.rows != NOBODY) & ~_is_going(now.state, length)

    def leave(now: Slots) -> Slots:
        """The first slot whose row has come to its end, or to `length`, is emptied."""
        slot = jnp.argmax(is_leaving(now))
        leaving = one_row(now.state if keeps_cache else now.state._replace(cache=None), slot)
        return now._replace(done=with_row(now.done, leaving, now.rows[slot]), rows=now.rows.at[slot].set(NOBODY))

    def is_entering(now: Slots) -> Array:
        return (now.rows == NOBODY).any() & (now.begun < count)

    def enter(now: Slots) -> Slots:
        """The first empty slot goes to the next row."""
        slot, row = jnp.argmax(now.rows == NOBODY), order[now.begun]
        entering = one_row(state, row)
        entering = entering._replace(cache=stepper.grow(entering.cache, length))
        return now._replace(
            state=with_row(now.state, entering, slot), rows=now.rows.at[slot].set(row), begun=now.begun + 1
        )

    def step(now: Slots) -> Slots:
        now = now._replace(state=advance(now.state))
        now = jax.lax.while_loop(lambda now: is_leaving(now).any(), leave, now)
        now = now._replace(state=now.state._replace(is_open=now.state.is_open & (now.rows != NOBODY)))
        return jax.lax.while_loop(is_entering, enter, now)

    first = order[:slots]
    beginning = jax.tree.map(lambda x: x[first], state)
    begin = Slots(
        state=beginning._replace(cache=stepper.grow(beginning.cache, length)),
        rows=jnp.where(jnp.arange(slots) < count, first, NOBODY),
        begun=jnp.minimum(count, slots),
        done=state._replace(cache=stepper.grow(state.cache, length) if keeps_cache else None),
    )
    return jax.lax.while_loop(lambda now: _is_going(now.state, length).any(), step, begin).done


def one_row(state: State, row: Array) -> State:
    """A state of one row alone."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, row, 1), state)


def with_row(state: State, part: State, row: Array) -> State:
    """The state with a row from a state of that row alone."""
    return jax.tree.map(lambda whole, one: jax.lax.dynamic_update_slice_in_dim(whole, one, row, 0), state, part)


def inverse_length_penalties(settings: Settings) -> Float[np.ndarray, " lengths"]:
    """1 / penalty(n) for n = 0 .. length: a score is a log-probability times the factor of its length n, EOS counted.

    gnmt:   ((5 + n) / 6) ** alpha, Wu et al. 2016 (arXiv:1609.08144), equation 14
    power:  n ** alpha, the mean log-probability for alpha 1; what Fairseq, CTranslate2 and Hugging Face use

    A table from NumPy, and a product, because the bound of beam search needs factors that fall with n, rounding
    included, and because compilers are free to round powers and quotients differently from place to place.
    """
    lengths = np.arange(settings.length + 1)
    base = (5 + lengths) / 6 if settings.penalty == "gnmt" else np.maximum(lengths, 1)
    return (base**-settings.length_penalty).astype(np.float32)


def empty_hypotheses(rows: int, hypotheses: int, length: int) -> Hypotheses:
    """Rows without any hypothesis: what a search starts from."""
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


# --- rows of hypotheses ----------------------------------------------------------------------------------


def pick(values: Array, places: Int[Array, "B K"]) -> Array:
    """values[b, places[b, k]] for each row b."""
    return jax.vmap(lambda row, indices: row[indices])(values, places)


def append(
    written: Int[Array, "B K L"], parents: Int[Array, "B K"], tokens: Int[Array, "B K"], places: Int[Array, " B"]
) -> Int[Array, "B K L"]:
    """What the parents wrote, with one more token each at their row's place."""
    return put(pick(written, parents), tokens, places)


def put(written: Int[Array, "B K L"], tokens: Int[Array, "B K"], places: Int[Array, " B"]) -> Int[Array, "B K L"]:
    """What is written, with these tokens at their row's place."""
    is_place = jnp.arange(written.shape[-1])[None] == places[:, None]
    return jnp.where(is_place[:, None], tokens[..., None], written)


def choose(rows: Bool[Array, " B"], new: Array, old: Array) -> Array:
    """New values in the given rows, old ones elsewhere."""
    return jnp.where(rows.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def best_of_both(first: Hypotheses, second: Hypotheses, hypotheses: int) -> Hypotheses:
    """The best of both by score, best first; of equal scores, the first's before the second's."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    _, places = jax.lax.top_k(both.scores, hypotheses)
    return jax.tree.map(lambda values: pick(values, places), both)


def finished_first(first: Hypotheses, second: Hypotheses, keep: int) -> Hypotheses:
    """The `keep` best of both, finished ones before those that a limit has cut; what is not there is blank."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    order = jnp.lexsort((-both.scores, ~both.finished), axis=-1)[:, :keep]
    best = jax.tree.map(lambda values: pick(values, order), both)
    is_there = best.scores > NEVER
    return best._replace(
        tokens=jnp.where(is_there[..., None], best.tokens, PAD), lengths=jnp.where(is_there, best.lengths, 0)
    )
