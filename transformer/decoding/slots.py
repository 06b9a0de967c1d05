"""The loop of every strategy: each step computes a fixed number of rows, and the next row replaces a complete one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from transformer.decoding.plan import SearchPlan
from transformer.decoding.stepper import Stepper

State = Any  # a NamedTuple with `steps` [B], `is_open` [B] and `cache`; rows are the first axis of every array

Advance = Callable[[State], State]


def run_steps(stepper: Stepper, state: State, plan: SearchPlan, advance: Advance) -> State:
    """The state, without its cache, after every open row has reached its end or the length limit.

    `advance(state)` takes each open row one step further and leaves the others unchanged. A step computes `plan.slots`
    rows. A complete row costs nothing more, because the next row takes its slot at once; rows in the slots may be at
    different steps. A row's result does not depend on the other rows. Attention over a cache costs as much as the
    cache's capacity, so the cache grows in stages; a row that needs more capacity waits for the next stage.
    """
    for length in plan.stages:
        if plan.slots >= len(state.steps):
            state = _advance_all(state._replace(cache=stepper.grow(state.cache, length)), length, advance)
        else:
            is_last = length == plan.length
            state = _advance_in_slots(stepper, state, length, plan.slots, advance, keeps_cache=not is_last)
    return state._replace(cache=None)


def _advance_all(state: State, length: int, advance: Advance) -> State:
    """The state after its open rows have advanced together to `length` or to their ends."""
    return jax.lax.while_loop(lambda now: _is_going(now, length).any(), advance, state)


def _is_going(state: State, length: int) -> Bool[Array, " B"]:
    """True for the rows that have a step left before `length`."""
    return state.is_open & (state.steps < length)


EMPTY = -1  # a slot without a row


class Slots(NamedTuple):
    """The rows that are in slots, and all other rows."""

    state: State  # of the rows in the slots
    rows: Int[Array, " slots"]  # the index of the row in each slot, or EMPTY
    begun: Int[Array, ""]  # number of rows that have been given a slot so far
    done: State  # of all rows; final for those that have left their slots


def _advance_in_slots(
    stepper: Stepper, state: State, length: int, slots: int, advance: Advance, *, keeps_cache: bool
) -> State:
    """As `_advance_all`, but only as many rows at a time as there are slots."""
    order = jnp.argsort(~state.is_open, stable=True)
    count = state.is_open.sum()

    def is_leaving(now: Slots) -> Array:
        return (now.rows != EMPTY) & ~_is_going(now.state, length)

    def leave(now: Slots) -> Slots:
        """Empties the first slot whose row has reached its end or `length`."""
        slot = jnp.argmax(is_leaving(now))
        leaving = one_row(now.state if keeps_cache else now.state._replace(cache=None), slot)
        return now._replace(done=with_row(now.done, leaving, now.rows[slot]), rows=now.rows.at[slot].set(EMPTY))

    def is_entering(now: Slots) -> Array:
        return (now.rows == EMPTY).any() & (now.begun < count)

    def enter(now: Slots) -> Slots:
        """Gives the first empty slot to the next row."""
        slot, row = jnp.argmax(now.rows == EMPTY), order[now.begun]
        entering = one_row(state, row)
        entering = entering._replace(cache=stepper.grow(entering.cache, length))
        return now._replace(
            state=with_row(now.state, entering, slot), rows=now.rows.at[slot].set(row), begun=now.begun + 1
        )

    def step(now: Slots) -> Slots:
        now = now._replace(state=advance(now.state))
        now = jax.lax.while_loop(lambda now: is_leaving(now).any(), leave, now)
        now = now._replace(state=now.state._replace(is_open=now.state.is_open & (now.rows != EMPTY)))
        return jax.lax.while_loop(is_entering, enter, now)

    first = order[:slots]
    beginning = jax.tree.map(lambda x: x[first], state)
    begin = Slots(
        state=beginning._replace(cache=stepper.grow(beginning.cache, length)),
        rows=jnp.where(jnp.arange(slots) < count, first, EMPTY),
        begun=jnp.minimum(count, slots),
        done=state._replace(cache=stepper.grow(state.cache, length) if keeps_cache else None),
    )
    return jax.lax.while_loop(lambda now: _is_going(now.state, length).any(), step, begin).done


def one_row(state: State, row: Array) -> State:
    """The state of one row alone."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, row, 1), state)


def with_row(state: State, part: State, row: Array) -> State:
    """The state with one row replaced by `part`, the state of that row alone."""
    return jax.tree.map(lambda whole, one: jax.lax.dynamic_update_slice_in_dim(whole, one, row, 0), state, part)
