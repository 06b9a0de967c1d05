"""Question 3. Is the fully connected layer of a decoder-only transformer of a single hidden layer?"""

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.questions.figures import by_category
from benchmarks.questions.measuring import evaluate
from benchmarks.questions.neurons import SHARE, describe_neurons
from benchmarks.questions.parts import with_feed_forward, without_feed_forward
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.task import Task
from benchmarks.questions.training import Trained, Variant, count, train

TIMES = (1, 4)
"""Widths of one hidden layer, in units of the model's width."""

OWN = 4
"""The usual width, and the cost at which depths are compared."""

HIDDEN = (2, 3)
"""Numbers of hidden layers that are compared with one, at equal cost."""


def widths(task: Task) -> list[Variant]:
    """No feed-forward network, a linear map, and one hidden layer of several widths."""
    width = task.model.width
    found = [
        Variant("none", task.model, without_feed_forward),
        Variant("linear map, no hidden layer", task.model, with_feed_forward(0, 0)),
    ]
    for times in TIMES:
        features = int(times * width)
        config = task.model.model_copy(update={"feed_forward": features})
        found.append(Variant(f"1 hidden layer of {features}", config))
    return found


def depths(task: Task) -> list[Variant]:
    """Several hidden layers, as wide as gives the parameters of one of OWN times the model's width."""
    width, found = task.model.width, []
    wanted = count(own(task), task.vocabulary)
    for hidden in HIDDEN:

        def with_width(features: int, hidden: int = hidden) -> Variant:
            name = f"{hidden} hidden layers of {features}"
            return Variant(name, task.model, with_feed_forward(hidden, features))

        # D w + (h - 1) w^2 + w D multiplications; a square root away from the width that gives as many parameters
        rough = int((((2 * width) ** 2 + 8 * (hidden - 1) * OWN * width**2) ** 0.5 - 2 * width) / (2 * (hidden - 1)))
        near = (with_width(features) for features in range(rough - 2, rough + 3))
        found.append(min(near, key=lambda one: abs(count(one, task.vocabulary) - wanted)))
    return found


def own(task: Task) -> Variant:
    """The usual network: one hidden layer, OWN times as wide as the model."""
    features = OWN * task.model.width
    return Variant(f"1 hidden layer of {features}", task.model.model_copy(update={"feed_forward": features}))


def ask(task: Task, seeds: Sequence[int], *, note: Any = print) -> Findings:
    """What depth and width of the feed-forward network buy, and what its neurons respond to."""
    findings = Findings("Is the fully connected layer of a single hidden layer?", task.about, seeds)
    trained: dict[str, list[Trained]] = {}
    for variant in [*widths(task), *depths(task)]:
        note(f"training: feed-forward network: {variant.name}")
        trained[variant.name] = list(train(task, variant, seeds))
    usual = own(task).name
    scores = {name: [evaluate(task, one.graph, one.parameters) for one in all_] for name, all_ in trained.items()}
    losses = {name: Measured([one.loss for one in all_]) for name, all_ in scores.items()}
    right = {
        name: [Measured([s.accuracy[group] for s in all_]) for group in task.groups] for name, all_ in scores.items()
    }
    findings.tables.append(
        Table(
            "Width and depth of the feed-forward network",
            ["network", "parameters of the model", "loss", "loss, minus the usual", *task.groups],
            [
                [
                    name + (" (usual)" if name == usual else ""),
                    f"{count(trained[name][0].variant, task.vocabulary):,}",
                    losses[name],
                    losses[name].minus(losses[usual]) if name != usual else "",
                    *right[name],
                ]
                for name in trained
            ],
        )
    )
    findings.tables.append(neurons(task, trained[usual]))
    findings.figures["accuracy"] = by_category(
        f"Share of right {task.groups[0]}, by network",
        [short(name) for name in trained],
        {"hidden layers x their width": [found[0] for found in right.values()]},
        joined=False,
    )
    return findings


def short(name: str) -> str:
    """The name of a network on an axis: "2 hidden layers of 64" -> "2x64"."""
    numbers = re.findall(r"\d+", name)
    return "x".join(numbers) if numbers else name.split()[0]


def neurons(task: Task, trained: Sequence[Trained]) -> Table:
    """What the neurons of each layer of the trained models respond to."""
    models = [describe_neurons(task, one.graph, one.parameters) for one in trained]
    rows: list[list[str | Measured]] = []
    for layer in range(len(models[0])):
        of_seeds = [model[layer] for model in models]
        for name in of_seeds[0].explained:
            shares = [one.explained[name] for one in of_seeds]
            rows.append(
                [
                    f"{layer + 1}",
                    name,
                    Measured([float(share.mean()) for share in shares], 2),
                    Measured([float((share >= SHARE).mean()) for share in shares], 2),
                ]
            )
        rows.append([f"{layer + 1}", "on, share of tokens", Measured([one.is_on for one in of_seeds], 2), ""])
        rows.append([f"{layer + 1}", "never on, share of neurons", Measured([one.dead for one in of_seeds], 2), ""])
    columns = [
        "layer",
        "feature",
        "share of a neuron's variance explained",
        f"neurons of which it explains {SHARE:.0%}",
    ]
    return Table("What neurons respond to", columns, rows)
