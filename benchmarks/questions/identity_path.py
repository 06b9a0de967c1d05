"""Question 2, before any training. What do residual connections keep on the way through many layers?"""

from collections.abc import Sequence
from math import log10
from typing import Any

import jax
import numpy as np

from benchmarks.questions.figures import by_number
from benchmarks.questions.residual import WAYS, variant
from benchmarks.questions.results import Findings, Measured, Table
from benchmarks.questions.streams import Stream, follow_stream
from benchmarks.questions.task import Task
from benchmarks.questions.training import initial

LAYERS = 12
ROWS = 64  # of held-out text
SMALLEST = 1e-12


def ask(task: Task, seeds: Sequence[int], *, note: Any = print) -> Findings:
    """The gradient of each layer of a new deep model, and what of its tokens is left before each layer."""
    about = f"{task.name}, {LAYERS} layers, before training"
    findings = Findings("Why a residual connection after self-attention?", about, seeds)
    batch = jax.tree.map(lambda x: x[:ROWS], task.held_out[0].batch)
    streams: dict[str, list[Stream]] = {}
    for way in WAYS:
        note(f"following the stream through {LAYERS} layers, {way}")
        models = [initial(variant(task, way, LAYERS), task.vocabulary, seed) for seed in seeds]
        streams[way] = [follow_stream(*model, batch) for model in models]
    findings.tables.append(table(streams))
    findings.figures["gradients"] = by_number(
        "Gradient of the loss, powers of ten", lines(streams, "gradients", log10), x="layer"
    )
    findings.figures["alike"] = by_number("Cosine of two positions of a line", lines(streams, "alike"), x="layer")
    return findings


def table(streams: dict[str, list[Stream]]) -> Table:
    """What is left of the gradient at the first layer, and of the tokens at the last."""
    rows: list[list[str | Measured]] = [
        [
            way,
            *(Measured([one.gradients[at] for one in found], 4) for at in (-1, 0)),
            Measured([one.alike[-1] for one in found], 2),
            Measured([one.kept[-1] for one in found], 2),
        ]
        for way, found in streams.items()
    ]
    columns = [
        "residual connections",
        f"gradient of layer {LAYERS}",
        "gradient of layer 1",
        f"positions alike before layer {LAYERS}",
        "tokens kept there",
    ]
    return Table(f"A new model of {LAYERS} layers", columns, rows)


def lines(streams: dict[str, list[Stream]], name: str, show: Any = float) -> dict[str, list[tuple[float, float]]]:
    """The mean over seeds of a measure of the stream, by layer."""
    means = {way: np.array([getattr(one, name) for one in found]).mean(0) for way, found in streams.items()}
    return {
        way: [(n, show(max(value, SMALLEST))) for n, value in enumerate(values, 1)] for way, values in means.items()
    }
