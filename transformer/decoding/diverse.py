"""Diverse beam search: groups of hypotheses that are kept from choosing what earlier groups chose."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from transformer.decoding.beam import BeamState, Extensions, conclude, extend, extensions, initial_state
from transformer.decoding.search import Cache, Hypotheses, Requirements, Settings, Stepper, finished_first, run_steps


class DiverseState(NamedTuple):
    """A beam for each group, of beams / groups hypotheses, over one cache."""

    steps: Int[Array, " B"]
    groups: tuple[BeamState, ...]
    is_open: Bool[Array, " B"]
    cache: Cache


def diverse_search(stepper: Stepper, cache: Cache, rows: Requirements, settings: Settings) -> Hypotheses:
    """The best hypotheses of all groups together: diverse beam search, Vijayakumar et al. 2018, with Hamming diversity.

    At each step the groups choose one after the other; a token costs `diversity` for each hypothesis of an earlier
    group that has just chosen it. The cost steers the choice and is no part of a score. The first group is an ordinary
    beam search of its size.
    """
    ours = settings._replace(beams=settings.beams // settings.groups)
    ours = ours._replace(keep=min(settings.keep, ours.beams))
    beams = tuple(initial_state(None, rows.limits, ours) for _ in range(settings.groups))
    state = DiverseState(jnp.zeros_like(rows.limits), beams, rows.limits > 0, cache)
    state = run_steps(stepper, state, settings, lambda state: advance(stepper, state, ours))
    found = [conclude(beam, ours._replace(keep=ours.beams)) for beam in state.groups]
    together = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *found)
    return finished_first(together, jax.tree.map(lambda x: x[:, :0], together), settings.keep)


def advance(stepper: Stepper, state: DiverseState, settings: Settings) -> DiverseState:
    """One more token for every live hypothesis of every group."""
    last = jnp.concatenate([beam.last for beam in state.groups], axis=1)
    log_probabilities, cache = stepper.step(last, state.steps, state.cache)
    costs = jnp.zeros_like(log_probabilities[:, 0])
    beams: list[BeamState] = []
    parents = []
    for number, beam in enumerate(state.groups):
        first = number * settings.beams
        of_group = log_probabilities[:, first : first + settings.beams]

        def propose(beam: BeamState, log_probabilities: Array, costs: Array = costs) -> Extensions:
            steered = extensions(beam, log_probabilities - costs[:, None])
            sums = steered.sums + jnp.take_along_axis(costs, steered.tokens, axis=1)
            return steered._replace(sums=sums)

        after, chosen = extend(beam, of_group, settings, propose, best_of_steered)
        chose = jax.nn.one_hot(after.last, costs.shape[1]).sum(1)
        costs = costs + settings.diversity * jnp.where(beam.is_open[:, None], chose, 0)
        beams.append(after)
        parents.append(first + chosen)
    is_open = jnp.stack([beam.is_open for beam in beams]).any(0)
    return state._replace(
        steps=state.steps + state.is_open,
        groups=tuple(beams),
        is_open=is_open,
        cache=stepper.reorder(cache, jnp.concatenate(parents, axis=1)),
    )


def best_of_steered(
    state: BeamState, candidates: Extensions, settings: Settings
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The first K candidates that go on, in the order in which they were proposed; then the best of them first."""
    del state
    goes_on = jnp.isfinite(candidates.sums)
    places = jnp.argsort(~goes_on, axis=1, stable=True)[:, : settings.beams]
    sums = jnp.take_along_axis(candidates.sums, places, axis=1)
    order = jnp.argsort(-sums, axis=1, stable=True)
    return jnp.take_along_axis(sums, order, axis=1), jnp.take_along_axis(places, order, axis=1)
