"""Beam search step by step: every hypothesis with its score, and what was pruned.

The same stepper, rules and selection as in `transformer.decoding`, but each step returns to the host.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import EOS
from dragoman.translation.loaded import LoadedModel
from transformer.decoding import Request
from transformer.decoding.batches import bucket_of
from transformer.decoding.beam import BeamState, best_live, conclude, extend, extensions, initial_state
from transformer.decoding.ensemble import ensemble_stepper
from transformer.decoding.request import stack
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.scores import inverse_length_penalties
from transformer.decoding.stepper import NEVER
from transformer.model import merge

ROOT = -1


class Node(NamedTuple):
    """A hypothesis with one more token than its parent. Scores are log-probabilities over the length penalty."""

    step: int  # tokens in the hypothesis
    parent: int  # its index among the nodes; ROOT: the empty hypothesis
    token: int
    log_probability: float  # of all its tokens
    score: float
    fate: str  # "live", "finished", or "pruned"


class Tree(NamedTuple):
    """All candidates that the search compared. `best` is the index of the winner among the nodes."""

    nodes: list[Node]
    best: int
    steps: int
    beam: int

    def tokens(self, index: int) -> list[int]:
        """The tokens of a hypothesis, from the first on."""
        found: list[int] = []
        while index != ROOT:
            found.append(self.nodes[index].token)
            index = self.nodes[index].parent
        return found[::-1]


def search_tree(model: LoadedModel, request: Request) -> Tree:
    """The tree of a beam search for one sentence; with a beam of 1 it is greedy search."""
    plan = replace(model.plan, bucket=bucket_of(len(request.source), model.plan.maximum_length))
    stacked = jax.tree.map(jnp.asarray, stack([request], plan, rows=1))
    assembled = merge(model.graph, model.parameters)
    stepper = with_rules(ensemble_stepper([assembled]), plan)
    begun = assembled.begin(stacked.source, beams=plan.decoding.beam)
    cache = stepper.grow(ruled_cache((begun,), stacked, plan), plan.length)

    @jax.jit
    def advance(state: BeamState, cache: Any) -> tuple[Any, BeamState, Any, Any]:
        log_probabilities, cache = stepper.step(state.last, state.steps, cache)
        after, parents = extend(state, log_probabilities, plan, extensions, best_live)
        return extensions(state, log_probabilities), after, parents, stepper.reorder(cache, parents)

    factors = inverse_length_penalties(plan)
    state = initial_state(None, stacked.limit, plan)
    nodes: list[Node] = []
    owners = [ROOT] * plan.decoding.beam  # the node of each live hypothesis
    while bool(state.is_open[0]):
        candidates, state, parents, cache = advance(state, cache)
        owners = grow_tree(nodes, owners, candidates, state, parents, factors)
    best = np.asarray(conclude(state, plan).tokens)[0, 0]
    return Tree(nodes, winner(nodes, best[best != 0].tolist()), int(state.steps[0]), plan.decoding.beam)


def grow_tree(
    nodes: list[Node], owners: list[int], candidates: Any, state: BeamState, parents: Any, factors: np.ndarray
) -> list[int]:
    """Adds the candidates of one step to the nodes. The result is the node of each live hypothesis."""
    size = int(state.steps[0])
    columns = zip(
        *(np.asarray(column)[0].tolist() for column in (parents, state.last, state.log_probabilities)), strict=True
    )
    live = [(parent, token) for parent, token, value in columns if value > NEVER]
    places: dict[tuple[int, int], int] = {}
    for rank, (value, parent, token) in enumerate(
        zip(*(np.asarray(column)[0].tolist() for column in candidates), strict=True)
    ):
        if value == NEVER:
            continue
        is_finished = token == EOS and rank < len(owners)
        fate = "finished" if is_finished else "live" if token != EOS and (parent, token) in live else "pruned"
        places[parent, token] = len(nodes)
        nodes.append(Node(size, owners[parent], token, value, value * float(factors[size]), fate))
    return [places[one] for one in live] + [ROOT] * (len(owners) - len(live))


def winner(nodes: list[Node], tokens: list[int]) -> int:
    """The index of the node whose hypothesis has these tokens."""
    at = ROOT
    for size, token in enumerate(tokens, 1):
        at = next(
            index for index, node in enumerate(nodes)
            if (node.step, node.parent, node.token) == (size, at, token)
        )  # fmt: skip
    return at
