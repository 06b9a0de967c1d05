"""Diverse beam search: groups of hypotheses, each penalised for choosing the tokens that earlier groups chose."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from transformer.decoding.beam import BeamState, Extensions, conclude, extend, extensions, initial_state
from transformer.decoding.hypotheses import Hypotheses, finished_first
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.slots import run_steps
from transformer.decoding.stepper import Cache, Stepper


class DiverseState(NamedTuple):
    """One beam of beams / groups hypotheses for each group, all over one cache."""

    steps: Int[Array, " B"]
    groups: tuple[BeamState, ...]
    is_open: Bool[Array, " B"]
    cache: Cache


def diverse_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """The best hypotheses of all groups together: diverse beam search, Vijayakumar et al. 2018, with Hamming diversity.

    At each step the groups choose in turn. A token is penalised by `diversity` for each hypothesis of an earlier group
    that has just chosen it. The penalty affects the choice only, and is not part of a score. The first group is an
    ordinary beam search of its size.
    """
    groups = plan.decoding.groups
    size = plan.decoding.beam // groups
    of_group = replace(plan.with_decoding(beam=size), keep=min(plan.keep, size))
    beams = tuple(initial_state(None, request.limit, of_group) for _ in range(groups))
    state = DiverseState(jnp.zeros_like(request.limit), beams, request.limit > 0, cache)
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state, of_group))
    found = [conclude(beam, replace(of_group, keep=size)) for beam in state.groups]
    together = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *found)
    return finished_first(together, jax.tree.map(lambda x: x[:, :0], together), plan.keep)


def advance(stepper: Stepper, state: DiverseState, plan: SearchPlan) -> DiverseState:
    """The state with one more token for every live hypothesis of every group; the plan is that of one group."""
    size = plan.decoding.beam
    last = jnp.concatenate([beam.last for beam in state.groups], axis=1)
    log_probabilities, cache = stepper.step(last, state.steps, state.cache)
    costs = jnp.zeros_like(log_probabilities[:, 0])
    beams: list[BeamState] = []
    parents = []
    for number, beam in enumerate(state.groups):
        first = number * size
        of_group = log_probabilities[:, first : first + size]

        def propose(beam: BeamState, log_probabilities: Array, costs: Array = costs) -> Extensions:
            steered = extensions(beam, log_probabilities - costs[:, None])
            paid = jnp.take_along_axis(costs, steered.tokens, axis=1)
            return steered._replace(log_probabilities=steered.log_probabilities + paid)

        after, chosen = extend(beam, of_group, plan, propose, best_of_steered)
        chose = jax.nn.one_hot(after.last, costs.shape[1]).sum(1)
        costs = costs + plan.decoding.diversity * jnp.where(beam.is_open[:, None], chose, 0)
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
    state: BeamState, candidates: Extensions, plan: SearchPlan
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The first K proposed candidates that do not end, sorted by log-probability, best first."""
    del state
    goes_on = jnp.isfinite(candidates.log_probabilities)
    indices = jnp.argsort(~goes_on, axis=1, stable=True)[:, : plan.decoding.beam]
    log_probabilities = jnp.take_along_axis(candidates.log_probabilities, indices, axis=1)
    order = jnp.argsort(-log_probabilities, axis=1, stable=True)
    return jnp.take_along_axis(log_probabilities, order, axis=1), jnp.take_along_axis(indices, order, axis=1)
