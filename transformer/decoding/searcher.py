"""Translations of token sequences of any length, encoded and searched on devices in fixed shapes."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float

from data.batch import EOS
from data.errors import InputError
from transformer.compiler import compiled
from transformer.decoding import STRATEGIES, Hypotheses, Request, SearchPlan
from transformer.decoding.attending import attended_cache, with_attention
from transformer.decoding.batches import AHEAD, IN_FLIGHT, make_batches
from transformer.decoding.ensemble import BY_ROWS, WHOLE, Ensemble, MakeStepper, ensemble_stepper, shapes_on
from transformer.decoding.request import make_request, stack
from transformer.decoding.rules import ruled_cache, with_rules
from transformer.decoding.scores import inverse_length_penalties
from transformer.model import Parameters, merge, round_parameters


class Hypothesis(NamedTuple):
    """One translation of a sentence, as tokens without EOS."""

    tokens: list[int]
    log_probability: float
    score: float
    is_finished: bool


def search_sentences(
    ensemble: Ensemble,
    requests: Sequence[Request],
    plan: SearchPlan,
    *,
    batch_size: int = 0,
    make_stepper: MakeStepper = ensemble_stepper,
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """For each batch, the indices of its sentences in `requests`, and up to `plan.keep` hypotheses for each sentence.

    Hypotheses come best first. Up to `batch_size` sentences (0: as many as fit) share a program, in which each device
    decodes `plan.slots` of them side by side; unused rows are empty. Programs are compiled for buckets of lengths, not
    for numbers of sentences, so a sentence's result has the same bits whatever else is in its batch. Rows are divided
    among the ensemble's devices.
    """
    mesh = ensemble.mesh
    rows_per_device = plan.slots * IN_FLIGHT
    rows = rows_per_device * mesh.size
    lengths = [len(request.source) for request in requests]
    pending: deque[tuple[list[int], np.ndarray, Hypotheses]] = deque()
    # Deal sentences of similar length to different devices, to balance their work; the longest begin first.
    dealt = np.arange(rows)[::-1].reshape(rows_per_device, mesh.size).T.reshape(-1)
    row_of = np.argsort(dealt)
    for indices, bucket in make_batches(
        lengths, maximum_length=plan.maximum_length, batch_size=min(batch_size or rows, rows)
    ):
        of_bucket = replace(plan, bucket=bucket)
        stacked = stack([requests[index] for index in indices], of_bucket, rows=rows)
        given = jax.device_put(jax.tree.map(lambda x: x[dealt], stacked), NamedSharding(mesh, BY_ROWS))
        found = search_program()(
            ensemble.graphs,
            ensemble.parameters,
            given,
            inverse_length_penalties(of_bucket),
            plan=of_bucket.program,
            mesh=mesh,
            make_stepper=make_stepper,
        )
        pending.append((indices, row_of[: len(indices)], found))
        if len(pending) == AHEAD:
            yield collect(*pending.popleft(), may_be_empty=plan.may_be_unsatisfiable)
    while pending:
        yield collect(*pending.popleft(), may_be_empty=plan.may_be_unsatisfiable)


def compile_search(ensemble: Ensemble, plan: SearchPlan, bucket: int) -> jax.stages.Compiled:
    """The program for sources of a bucket, compiled, so that `search_sentences` finds it ready.

    It may run in a thread of its own. The ensemble may be one `of_shapes`.
    """
    plan, mesh = replace(plan, bucket=bucket), ensemble.mesh
    empty = stack([make_request(plan, [EOS])], plan, rows=plan.slots * IN_FLIGHT * mesh.size)
    request = shapes_on(mesh, BY_ROWS, empty)
    factors = inverse_length_penalties(plan)
    return (
        search_program()
        .lower(
            ensemble.graphs,
            ensemble.parameters,
            request,
            factors,
            plan=plan.program,
            mesh=mesh,
            make_stepper=ensemble_stepper,
        )
        .compile()
    )


def search_program() -> Any:
    """`search_rows`, compiled for each plan when it is needed."""
    return compiled(search_rows, "graphs", "plan", "mesh", "make_stepper")


def search_rows(
    graphs: tuple[nnx.GraphDef, ...],
    parameters: tuple[Parameters, ...],
    request: Request,
    factors: Float[Array, " lengths"],
    *,
    plan: SearchPlan,
    mesh: Mesh,
    make_stepper: MakeStepper = ensemble_stepper,
) -> Hypotheses:
    """The hypotheses for rows of one sentence each. Rows with limit 0 are not searched.

    `factors` are the `inverse_length_penalties` that scores are made of; the penalty of the plan does not count. Each
    device searches its own rows to the end; no device waits for another inside a program.
    """

    def search_share(
        parameters: tuple[Parameters, ...], request: Request, factors: Float[Array, " lengths"]
    ) -> Hypotheses:
        given = replace(plan, factors=factors)
        models = [merge(graph, one) for graph, one in zip(graphs, parameters, strict=True)]
        for model in models:
            round_parameters(model)
        caches = tuple(model.begin(request.source, beams=plan.decoding.beam) for model in models)
        stepper, cache = make_stepper(models), caches
        if plan.capacities.terms:
            stepper = with_attention(stepper, models)
            cache = attended_cache(caches, beams=plan.decoding.beam, source=request.source)
        return STRATEGIES[plan.strategy](with_rules(stepper, plan), ruled_cache(cache, request, plan), request, given)

    specs = (WHOLE, BY_ROWS, WHOLE)
    share = jax.shard_map(search_share, mesh=mesh, in_specs=specs, out_specs=BY_ROWS, check_vma=False)
    return share(parameters, request, factors)


def collect(
    indices: list[int], rows: np.ndarray, hypotheses: Hypotheses, *, may_be_empty: bool
) -> tuple[list[int], list[list[Hypothesis]]]:
    """A batch's result, fetched from the device in one transfer. Raises InputError if a model gives no numbers.

    A sentence has no hypothesis if no output meets everything that is required of it: only if it `may_be_empty`.
    """
    on_host: Hypotheses = jax.device_get(hypotheses)
    found = []
    for tokens, lengths, *numbers in zip(*(values[rows] for values in on_host), strict=True):
        row = [
            Hypothesis(
                tokens[k, : length - is_finished].tolist(), float(log_probability), float(score), bool(is_finished)
            )
            for k, (length, log_probability, score, is_finished) in enumerate(zip(lengths, *numbers, strict=True))
            if np.isfinite(score) and length
        ]
        if np.isnan(numbers[0]).any() or not (row or may_be_empty):
            raise InputError("the model gives no finite score: its parameters are damaged, or training diverged")
        found.append(row)
    return indices, found
