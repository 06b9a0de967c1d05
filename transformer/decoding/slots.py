"""The loop of every strategy: each step computes a fixed number of rows, and the next row replaces a complete one.

On CPUs and TPUs, rows are exchanged one by one, in loops. On a GPU, all are exchanged at once, because the host starts
each step of a loop there. For the base model with 128 slots, the loops would start more kernels than the step itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from transformer.compiler import opaque
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


class Queue(NamedTuple):
    """The rows of a stage, in the order in which they are given a slot."""

    state: State
    order: Int[Array, " B"]  # open rows first
    count: Int[Array, ""]  # number of open rows
    grow: Callable[[Any], Any]  # gives a cache room for the stage
    keeps_cache: bool  # whether a row that has left takes its cache along


def _advance_in_slots(
    stepper: Stepper, state: State, length: int, slots: int, advance: Advance, *, keeps_cache: bool
) -> State:
    """As `_advance_all`, but only as many rows at a time as there are slots."""
    order = jnp.argsort(~state.is_open, stable=True)
    queue = Queue(state, order, state.is_open.sum(), lambda cache: stepper.grow(cache, length), keeps_cache)
    exchange = exchange_at_once if jax.default_backend() == "gpu" else exchange_one_by_one

    def step(now: Slots) -> Slots:
        now = now._replace(state=advance(now.state))
        return exchange(now, (now.rows != EMPTY) & ~_is_going(now.state, length), queue)

    first = order[:slots]
    beginning = jax.tree.map(lambda x: x[first], state)
    begin = Slots(
        state=beginning._replace(cache=queue.grow(beginning.cache)),
        rows=jnp.where(jnp.arange(slots) < queue.count, first, EMPTY),
        begun=jnp.minimum(queue.count, slots),
        done=state._replace(cache=queue.grow(state.cache) if keeps_cache else None),
    )
    return jax.lax.while_loop(lambda now: _is_going(now.state, length).any(), step, begin).done


def _leaving(now: Slots, queue: Queue) -> State:
    """The state in the slots that rows take along when they leave."""
    return now.state if queue.keeps_cache else now.state._replace(cache=None)


def _without_empty(now: Slots) -> Slots:
    """The slots, of which those without a row are closed."""
    return now._replace(state=now.state._replace(is_open=now.state.is_open & (now.rows != EMPTY)))


def exchange_one_by_one(now: Slots, is_leaving: Bool[Array, " slots"], queue: Queue) -> Slots:
    """The slots after rows have left, and the next rows have taken the empty slots, the first empty slot first.

    Only what changes is copied.
    """

    def leave(going: tuple[Slots, Array]) -> tuple[Slots, Array]:
        now, is_leaving = going
        slot = jnp.argmax(is_leaving)
        done = with_row(now.done, one_row(_leaving(now, queue), slot), now.rows[slot])
        return now._replace(done=done, rows=now.rows.at[slot].set(EMPTY)), is_leaving.at[slot].set(False)

    def enter(now: Slots) -> Slots:
        slot, row = jnp.argmax(now.rows == EMPTY), queue.order[now.begun]
        entering = one_row(queue.state, row)
        entering = entering._replace(cache=queue.grow(entering.cache))
        return now._replace(
            state=with_row(now.state, entering, slot), rows=now.rows.at[slot].set(row), begun=now.begun + 1
        )

    now, _ = jax.lax.while_loop(lambda going: going[1].any(), leave, (now, is_leaving))
    return jax.lax.while_loop(
        lambda now: (now.rows == EMPTY).any() & (now.begun < queue.count), enter, _without_empty(now)
    )


def exchange_at_once(now: Slots, is_leaving: Bool[Array, " slots"], queue: Queue) -> Slots:
    """`exchange_one_by_one` without loops: each array is written twice, whatever the number of rows."""
    done = scatter_rows(now.done, _leaving(now, queue), now.rows, is_leaving)
    rows = jnp.where(is_leaving, EMPTY, now.rows)
    now = opaque(_without_empty(now._replace(done=done, rows=rows)))
    numbers = now.begun + jnp.cumsum(rows == EMPTY) - 1
    is_entering = (rows == EMPTY) & (numbers < queue.count)
    new = queue.order[jnp.minimum(numbers, len(queue.order) - 1)]
    entering = jax.tree.map(lambda x: x[new], queue.state)
    entering = entering._replace(cache=queue.grow(entering.cache))
    return now._replace(
        state=scatter_rows(now.state, entering, jnp.arange(len(rows)), is_entering),
        rows=jnp.where(is_entering, new, rows),
        begun=now.begun + is_entering.sum(),
    )


def scatter_rows(whole: State, parts: State, rows: Int[Array, " slots"], is_written: Bool[Array, " slots"]) -> State:
    """`whole` with some of its rows replaced by those of `parts`. No two go to one row."""

    def scatter(whole: Array, parts: Array) -> Array:
        outside = len(whole) + jnp.arange(len(rows))
        indices = jnp.where(is_written, rows, outside)
        return whole.at[indices].set(parts, mode="drop", unique_indices=True)

    return jax.tree.map(scatter, whole, parts)


def one_row(state: State, row: Array) -> State:
    """The state of one row alone."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, row, 1), state)


def with_row(state: State, part: State, row: Array) -> State:
    """The state with one row replaced by `part`, the state of that row alone."""
    return jax.tree.map(lambda whole, one: jax.lax.dynamic_update_slice_in_dim(whole, one, row, 0), state, part)
