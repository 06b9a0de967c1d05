"""Question 4. What are many heads, and many layers, for?"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from benchmarks.questions.figures import by_category, by_number
from benchmarks.questions.measuring import Scores, evaluate
from benchmarks.questions.pruning import SUBLAYERS, Head, heads_of, without_head, without_sublayers
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.task import Task
from benchmarks.questions.training import Variant, train
from dragoman.explanation.heads import Head as Described
from dragoman.explanation.heads import describe_head
from transformer.model import Parameters, merge
from transformer.model.tap import tap

HEADS = (1, 2, 4, 8)

Place = tuple[str, int, str]
"""A sub-layer: its stack, its layer counted from 0, and its kind."""

Describe = Callable[["Model"], dict[Place, list[Described]]]
"""What the heads of a model seem to do, by attention."""


class Model(NamedTuple):
    """A trained model, of one seed."""

    graph: nnx.GraphDef
    parameters: Parameters


class Pruned(NamedTuple):
    """By how much the loss of one model rises without each head, each sub-layer and each layer."""

    whole: Scores
    heads: dict[Head, float]
    sublayers: dict[Place, float]
    layers: dict[tuple[str, int], float]
    curve: list[tuple[int, float]]  # the loss by number of heads taken out together, those first that matter least


def ask(task: Task, seeds: Sequence[int], *, note: Any = print) -> Findings:
    """Models trained with several numbers of heads, and the usual one without each head and each layer."""
    findings = Findings("What are many heads, and many layers, for?", task.about, seeds)
    scores: dict[str, list[Scores]] = {}
    models: list[Model] = []
    for heads in HEADS:
        name = f"{heads} head{'s' * (heads > 1)} of {task.model.width // heads}"
        note(f"training: {name}")
        trained = list(train(task, Variant(name, task.model.model_copy(update={"heads": heads})), seeds))
        scores[name] = [evaluate(task, one.graph, one.parameters) for one in trained]
        if heads == task.model.heads:
            models, usual = [Model(one.graph, one.parameters) for one in trained], name
    losses = {name: Measured([one.loss for one in found]) for name, found in scores.items()}
    accuracy = {
        name: [Measured([one.accuracy[group] for one in found], 2) for group in task.groups]
        for name, found in scores.items()
    }
    findings.tables.append(
        Table(
            "Trained with this number of heads, at equal parameters",
            ["heads", "loss", f"loss, minus that of {usual}", *task.groups],
            [
                [name, losses[name], losses[name].minus(losses[usual]) if name != usual else "", *accuracy[name]]
                for name in losses
            ],
        )
    )
    findings.figures["trained"] = by_category("Share of right tokens", task.groups, accuracy)
    add_pruning(findings, task, models, heads=task.model.heads, describe=task_describer(task), note=note)
    return findings


def add_pruning(
    findings: Findings, task: Task, models: Sequence[Model], *, heads: int, describe: Describe | None, note: Any = print
) -> None:
    """Adds what is lost without each head, sub-layer and layer of trained models, and what their heads do."""
    found = []
    for number, model in enumerate(models, 1):
        note(f"taking parts out of model {number}")
        found.append(prune(task, model, heads=heads))
    roles = [describe(model) for model in models] if describe else []
    findings.tables.append(heads_table(found, roles))
    findings.tables.append(layers_table(found))
    curves = {f"model {number}": one.curve for number, one in enumerate(found, 1)}
    findings.figures["pruned"] = by_number("Loss", curves, x="heads taken out")


def prune(task: Task, model: Model, *, heads: int) -> Pruned:
    """What one model loses without each of its parts."""
    whole = evaluate(task, *model)

    def rise(parameters: Parameters) -> float:
        return evaluate(task, model.graph, parameters).loss - whole.loss

    each = {head: rise(without_head(model.parameters, head, heads)) for head in heads_of(model.parameters, heads)}
    places = dict.fromkeys((head.stack, head.layer) for head in each)
    sublayers = {
        (stack, layer, kind): rise(without_sublayers(model.parameters, stack, layer, kind))
        for stack, layer in places
        for kind in SUBLAYERS
        if kind in model.parameters[stack][str(layer)]
    }
    layers = {place: rise(without_sublayers(model.parameters, *place)) for place in places}
    return Pruned(whole, each, sublayers, layers, pruning_curve(task, model, each, heads, whole))


def pruning_curve(
    task: Task, model: Model, rises: dict[Head, float], heads: int, whole: Scores
) -> list[tuple[int, float]]:
    """The loss after taking out more and more heads, in the order of their own rises; about 8 points."""
    parameters, points = model.parameters, [(0, whole.loss)]
    step = max(1, len(rises) // 8)
    for number, head in enumerate(sorted(rises, key=lambda one: rises[one]), 1):
        parameters = without_head(parameters, head, heads)
        if number % step == 0 or number == len(rises):
            points.append((number, evaluate(task, model.graph, parameters).loss))
    return points


# --- tables ----------------------------------------------------------------------------------------------


def heads_table(found: Sequence[Pruned], roles: Sequence[dict[Place, list[Described]]]) -> Table:
    """A row for each attention: the rises of loss without each head, sorted, since seeds number their heads at will."""
    rows: list[list[str | Measured]] = []
    for place in dict.fromkeys((head.stack, head.layer, head.kind) for head in found[0].heads):
        rises = [
            sorted(
                (rise for head, rise in one.heads.items() if (head.stack, head.layer, head.kind) == place), reverse=True
            )
            for one in found
        ]
        at = {"largest": 0, "second": 1, "smallest": -1}
        columns = [Measured([one[min(n, len(one) - 1)] for one in rises]) for n in at.values()]
        together = Measured([one.sublayers[place] for one in found])
        rows.append([name_of(place), *columns, together, *([role_counts(place, roles)] if roles else [])])
    columns = ["attention", "most important head", "second", "least important", "all heads"]
    columns += ["what its heads look at"] if roles else []
    return Table("Rise of the loss without one head of a trained model", columns, rows)


def name_of(place: Place) -> str:
    """An attention as a table names it: "decoder 1, self-attention"."""
    stack, layer, kind = place
    return f"{stack} {layer + 1}, {kind.replace('_', '-')}"


def role_counts(place: Place, roles: Sequence[dict[Place, list[Described]]]) -> str:
    """The roles of the heads of an attention over all models, the most frequent first."""
    counts = Counter(head.role for one in roles for head in one[place])
    return ", ".join(f"{role} {number}" for role, number in counts.most_common())


def layers_table(found: Sequence[Pruned]) -> Table:
    """A row for each layer: the rise of loss without one of its sub-layers, and without all."""
    rows: list[list[str | Measured]] = []
    for stack, layer in found[0].layers:
        sublayers: list[str | Measured] = [
            Measured([one.sublayers[stack, layer, kind] for one in found])
            if (stack, layer, kind) in found[0].sublayers
            else ""
            for kind in SUBLAYERS
        ]
        rows.append([f"{stack} {layer + 1}", *sublayers, Measured([one.layers[stack, layer] for one in found])])
    columns = ["layer", *(kind.replace("_", "-") for kind in SUBLAYERS), "all of the layer"]
    return Table("Rise of the loss without one layer of a trained model", columns, rows)


# --- what heads look at ----------------------------------------------------------------------------------


def task_describer(task: Task) -> Describe | None:
    """What the heads of a decoder-only model look at, by the task's own kinds of keys; None if it names none."""
    kinds_of = task.kinds
    if kinds_of is None:
        return None

    def describe(model: Model) -> dict[Place, list[Described]]:
        one = task.held_out[0]
        kinds, scored = kinds_of(one), np.asarray(one.groups) >= 0
        weights = attention_weights(model, one.batch)
        start, keys = one.batch.source.shape[1], weights[0].shape[-1]
        places = np.argwhere(scored)
        visible = np.arange(keys)[None] <= start + places[:, 1, None]
        flat = {name: kind.reshape(-1, keys) & visible for name, kind in kinds.items()}
        return {
            ("decoder", layer, "self_attention"): [
                describe_head(head[:, start:][scored], flat, visible) for head in found.swapaxes(0, 1)
            ]
            for layer, found in enumerate(weights)
        }

    return describe


def attention_weights(model: Model, batch: Any) -> list[np.ndarray]:
    """The weights [B N T S] of self-attention in each layer of a decoder-only model."""

    def run(parameters: Parameters) -> dict[str, jax.Array]:
        with tap(lambda name: name.endswith("self_attention/weights")) as shown:
            merge(model.graph, parameters).features(batch)
        return shown

    shown = jax.jit(run)(model.parameters)
    return [np.asarray(shown[f"decoder/{n}/self_attention/weights"]) for n in range(len(shown))]
