"""Question 2. Why a residual connection after self-attention?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.questions.figures import by_category, by_number
from benchmarks.questions.parts import Change, without_residual
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.task import Task
from benchmarks.questions.training import Trained, Variant, train, unchanged

DEPTHS = (2, 4, 8, 12)
ADAMW = {"optimizer": "adamw", "learning_rate": 0.003}
"""The update rule here: Muon gives the update of each matrix one size, however small its gradient is."""

WAYS: dict[str, tuple[str, Change]] = {
    "pre-norm": ("pre", unchanged),
    "post-norm": ("post", unchanged),
    "pre-norm, none after self-attention": ("pre", without_residual("self_attention")),
    "pre-norm, none at all": ("pre", without_residual("self_attention", "feed_forward")),
}
"""Ways to connect a layer's two sub-layers to the residual stream."""


def variant(task: Task, way: str, layers: int) -> Variant:
    """The task's model with this many layers, connected in this way."""
    position, change = WAYS[way]
    config = task.model.model_copy(update={"decoder_layers": layers, "norm_position": position})
    return Variant(f"{layers} layers, {way}", config, change)


def ask(task: Task, seeds: Sequence[int], *, note: Any = print) -> Findings:
    """Loss with and without residual connections at several depths.

    The loss is that of the last updates, on lines that are new to the model when it reads them.
    """
    task = replace(task, training=task.training.model_copy(update=ADAMW))
    findings, depths = Findings("Why a residual connection after self-attention?", task.about, seeds), DEPTHS
    losses: dict[str, list[Measured]] = {way: [] for way in WAYS}
    curves = {}
    for way in WAYS:
        for layers in depths:
            note(f"training: {layers} layers, {way}")
            trained = list(train(task, variant(task, way, layers), seeds))
            losses[way].append(Measured([one.curve[-1][1] for one in trained]))
        curves[way] = mean_curve(trained)
    usual = losses["pre-norm"]
    rows = [[way, *found] for way, found in losses.items()]
    findings.tables.append(
        Table("Loss of the last updates, by depth", ["residual connections", *map(layers_of, depths)], rows)
    )
    findings.tables.append(
        Table(
            "Loss, minus that of pre-norm at the same depth, seed by seed",
            ["residual connections", *map(layers_of, depths)],
            [
                [way, *(one.minus(other) for one, other in zip(found, usual, strict=True))]
                for way, found in losses.items()
                if way != "pre-norm"
            ],
        )
    )
    findings.figures["loss"] = by_category("Loss by depth", [*map(layers_of, depths)], losses)
    findings.figures["curves"] = by_number(f"Training loss, {depths[-1]} layers", curves, x="update")
    return findings


def layers_of(layers: int) -> str:
    """The heading of a depth."""
    return f"{layers} layers"


def mean_curve(trained: Sequence[Trained]) -> list[tuple[float, float]]:
    """The mean over seeds of training loss by update."""
    steps = [step for step, _ in trained[0].curve]
    values = np.array([[loss for _, loss in one.curve] for one in trained]).mean(0)
    return list(zip(steps, values.tolist(), strict=True))
