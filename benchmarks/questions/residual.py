"""Question 2. Why a residual connection after self-attention?"""

from collections.abc import Sequence
from dataclasses import replace
from math import log10
from typing import Any

import jax
import numpy as np

from benchmarks.questions.figures import by_category, by_number
from benchmarks.questions.parts import Change, without_residual
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.streams import Stream, follow_stream
from benchmarks.questions.task import Task
from benchmarks.questions.training import Trained, Variant, train, unchanged

DEPTHS = (2, 12)
ADAMW = {"optimizer": "adamw", "learning_rate": 0.003}
"""The update rule here: Muon gives the update of each matrix one size, however small its gradient is."""
ROWS = 64  # of held-out text, for gradients and streams

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
    """Loss with and without residual connections at several depths, gradients by layer, and the identity path.

    The loss is that of the last updates, on lines that are new to the model when it reads them.
    """
    task = replace(task, training=task.training.model_copy(update=ADAMW))
    findings, depths = Findings("Why a residual connection after self-attention?", task.about, seeds), DEPTHS
    losses: dict[str, list[Measured]] = {way: [] for way in WAYS}
    curves, streams = {}, {}
    for way in WAYS:
        for layers in depths:
            note(f"training: {layers} layers, {way}")
            trained = list(train(task, variant(task, way, layers), seeds))
            losses[way].append(Measured([one.curve[-1][1] for one in trained]))
        curves[way] = mean_curve(trained)
        streams[way] = [stream_before_training(task, one) for one in trained]
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
    findings.tables.append(identity_path(streams, depths[-1]))
    findings.figures["loss"] = by_category("Loss by depth", [*map(layers_of, depths)], losses)
    findings.figures["curves"] = by_number(f"Training loss, {depths[-1]} layers", curves, x="update")
    findings.figures["gradients"] = by_number(
        f"Gradient of each of {depths[-1]} layers before training, powers of ten", gradient_lines(streams), x="layer"
    )
    findings.figures["alike"] = by_number(
        "Cosine between two places of a line, before training", mean_lines(streams, "alike"), x="layer"
    )
    return findings


def layers_of(layers: int) -> str:
    """The heading of a depth."""
    return f"{layers} layers"


def mean_curve(trained: Sequence[Trained]) -> list[tuple[float, float]]:
    """The mean over seeds of training loss by update."""
    steps = [step for step, _ in trained[0].curve]
    values = np.array([[loss for _, loss in one.curve] for one in trained]).mean(0)
    return list(zip(steps, values.tolist(), strict=True))


def stream_before_training(task: Task, trained: Trained) -> Stream:
    """The stream of a model with the weights it begins with."""
    batch = jax.tree.map(lambda x: x[:ROWS], task.held_out[0].batch)
    return follow_stream(trained.graph, trained.initial, batch)


def identity_path(streams: dict[str, list[Stream]], layers: int) -> Table:
    """What is left of a token, and of the gradient, on the way through the layers of a new model."""
    rows: list[list[str | Measured]] = [
        [
            way,
            *(Measured([one.gradients[at] for one in found], 4) for at in (0, -1)),
            Measured([one.alike[-1] for one in found], 2),
            Measured([one.kept[-1] for one in found], 2),
        ]
        for way, found in streams.items()
    ]
    columns = ["residual connections", "gradient of layer 1", f"of layer {layers}", "places alike", "tokens kept"]
    return Table(f"A new model of {layers} layers, before training", columns, rows)


def mean_lines(streams: dict[str, list[Stream]], name: str) -> dict[str, list[tuple[float, float]]]:
    """The mean over seeds of a measure of the stream, by layer."""
    means = {way: np.array([getattr(one, name) for one in found]).mean(0) for way, found in streams.items()}
    return {way: [(n, float(value)) for n, value in enumerate(values, 1)] for way, values in means.items()}


def gradient_lines(streams: dict[str, list[Stream]]) -> dict[str, list[tuple[float, float]]]:
    """The logarithm to the base 10 of the mean gradient of each layer."""
    return {
        way: [(n, log10(max(value, 1e-12))) for n, value in points]
        for way, points in mean_lines(streams, "gradients").items()
    }
