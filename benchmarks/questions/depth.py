"""Question 1. Why several masked self-attention cells, layers of them?"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from benchmarks.questions.figures import by_category
from benchmarks.questions.measuring import Scores, evaluate, scores_without_future
from benchmarks.questions.parts import without_mask
from benchmarks.questions.pruning import without_sublayers
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.sizes import fitted
from benchmarks.questions.task import Task
from benchmarks.questions.training import Trained, Variant, count, train
from transformer.config import ModelConfig

DEPTHS = (1, 2, 4)


def shapes(task: Task) -> list[Variant]:
    """The task's model, and others of the same number of parameters that are shallower and wider, or the opposite."""
    parameters = count(Variant("own", task.model), task.vocabulary)
    found = []
    for layers in DEPTHS:
        config = nearest(task, layers, parameters)
        name = f"{layers} layer{'s' * (layers > 1)} of width {config.width}"
        found.append(fitted(Variant(name, config), vocabulary=task.vocabulary, parameters=parameters))
    return found


def nearest(task: Task, layers: int, parameters: int) -> ModelConfig:
    """The config with this many layers whose width, with feed-forward networks in proportion, is the nearest fit."""
    own = task.model
    widths = range(2 * own.heads, 8 * own.width, 2 * own.heads)

    def with_width(width: int) -> ModelConfig:
        feed_forward = width * own.feed_forward // own.width
        return own.model_copy(update={"decoder_layers": layers, "width": width, "feed_forward": feed_forward})

    def size(width: int) -> int:
        return count(Variant("", with_width(width)), task.vocabulary)

    at = bisect_left(widths, parameters, key=size)
    return with_width(min(widths[max(at - 1, 0) : at + 1], key=lambda width: abs(size(width) - parameters)))


def ask(task: Task, seeds: Sequence[int], *, note: Any = print) -> Findings:
    """Depth against width at equal parameters, and what is lost without a layer, or without the mask."""
    findings = Findings("Why several masked self-attention cells?", task.about, seeds)
    trained: dict[str, list[Trained]] = {}
    for variant in [*shapes(task), Variant("no mask", task.model, without_mask)]:
        note(f"training: {variant.name}")
        trained[variant.name] = list(train(task, variant, seeds))
    scores = {name: [evaluate(task, one.graph, one.parameters) for one in all_] for name, all_ in trained.items()}
    own = next(v.name for v in shapes(task) if v.config.decoder_layers == task.model.decoder_layers)
    named = [variant.name for variant in shapes(task)]

    findings.tables.append(
        Table(
            "Depth against width at equal parameters",
            ["model", "parameters", "loss", *task.groups, "ms of CPU time an update"],
            [row(task, trained[name], scores[name]) for name in named],
        )
    )
    findings.tables.append(
        Table(
            f"Loss, minus that of {own}, seed by seed",
            ["model", "difference"],
            [[name, losses(scores[name]).minus(losses(scores[own]))] for name in named if name != own],
        )
    )
    findings.tables.append(layers_taken_out(task, trained[own], scores[own]))
    findings.tables.append(mask_taken_out(task, trained, scores, own))
    findings.figures["accuracy"] = by_category(
        "Share of right tokens", task.groups, {name: accuracies(task, scores[name]) for name in named}
    )
    return findings


def losses(scores: Sequence[Scores]) -> Measured:
    """The loss with each seed."""
    return Measured([one.loss for one in scores])


def accuracies(task: Task, scores: Sequence[Scores]) -> list[Measured]:
    """The accuracy of each group, with each seed."""
    return [Measured([one.accuracy[group] for one in scores], 2) for group in task.groups]


def row(task: Task, trained: Sequence[Trained], scores: Sequence[Scores]) -> list[str | Measured]:
    """A model's row of the first table."""
    parameters = count(trained[0].variant, task.vocabulary)
    time = Measured([1000 * one.seconds for one in trained], 0)
    return [trained[0].variant.name, f"{parameters:,}", losses(scores), *accuracies(task, scores), f"{time.mean:.0f}"]


def layers_taken_out(task: Task, trained: Sequence[Trained], whole: Sequence[Scores]) -> Table:
    """The trained model without one of its layers, or without that layer's self-attention or feed-forward network."""

    def without(layer: int, *kinds: str) -> list[Scores]:
        pruned = [without_sublayers(one.parameters, "decoder", layer, *kinds) for one in trained]
        return [evaluate(task, one.graph, cut) for one, cut in zip(trained, pruned, strict=True)]

    rows: list[list[str | Measured]] = []
    for layer in range(task.model.decoder_layers):
        parts = [losses(without(layer, kind)).minus(losses(whole)) for kind in ("self_attention", "feed_forward")]
        scores = without(layer)
        rows.append([f"{layer + 1}", *parts, losses(scores).minus(losses(whole)), *accuracies(task, scores)])
    columns = [
        "layer",
        "loss, rise without its self-attention",
        "without its feed-forward",
        "without both",
        *task.groups,
    ]
    return Table("One layer of a trained model taken out, without training again", columns, rows)


def mask_taken_out(task: Task, trained: dict[str, list[Trained]], scores: dict[str, list[Scores]], own: str) -> Table:
    """Trained with and without the mask, and scored with the target's future visible and hidden."""
    rows: list[list[str | Measured]] = []
    for name in (own, "no mask"):
        hidden = [evaluate(task, one.graph, one.parameters, score=scores_without_future) for one in trained[name]]
        rows.append([name, "visible", losses(scores[name]), *accuracies(task, scores[name])])
        rows.append([name, "hidden, as in generation", losses(hidden), *accuracies(task, hidden)])
    return Table("The mask taken out in training", ["model", "the target's future", "loss", *task.groups], rows)
