"""Trains a variant of a task's model with several seeds, by one program: compiling it takes as long as one seed."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.questions.parts import Change
from benchmarks.questions.task import Task
from transformer.config import ModelConfig
from transformer.model import Parameters, build, split
from transformer.training.optimizer import build_optimizer
from transformer.training.placement import OneDevice
from transformer.training.step import TrainState, build_train_step

POINTS = 30
"""Points of a loss curve. Each is the mean of the updates since the point before."""


def unchanged(model: Any, config: ModelConfig, rngs: nnx.Rngs) -> None:
    """The `Change` of a model that keeps its own parts."""


class Variant(NamedTuple):
    """A model to train: the task's own with other sizes, or with other parts."""

    name: str
    config: ModelConfig
    change: Change = unchanged


class Trained(NamedTuple):
    """A variant after training with one seed. `seconds` is the processor time of an update, compilation left out."""

    variant: Variant
    seed: int
    graph: nnx.GraphDef
    initial: Parameters
    parameters: Parameters
    curve: list[tuple[int, float]]
    seconds: float


def initial(variant: Variant, vocabulary: int, seed: int) -> tuple[nnx.GraphDef, Parameters]:
    """The structure of a variant, and its parameters drawn from the seed."""
    rngs, sizes = nnx.Rngs(seed), {"source_vocabulary": vocabulary, "target_vocabulary": vocabulary}
    model = build(variant.config, **sizes, rngs=rngs)
    variant.change(model, variant.config, rngs)
    return split(model)


def count(variant: Variant, vocabulary: int) -> int:
    """The number of parameters."""
    shapes = jax.eval_shape(lambda: initial(variant, vocabulary, 0)[1])
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def train(task: Task, variant: Variant, seeds: Sequence[int]) -> Iterator[Trained]:
    """The variant trained with each seed."""
    graph, _ = initial(variant, task.vocabulary, 0)
    optimizer = build_optimizer(task.training)
    update = jax.jit(build_train_step(graph, task.training, optimizer, OneDevice()))
    for seed in seeds:
        _, parameters = initial(variant, task.vocabulary, seed)
        state, losses = TrainState(parameters, optimizer.init(parameters), jnp.int32(0)), []
        for batch in task.train(seed):
            state, metrics = update(state, batch, jax.random.key(seed))
            losses.append(metrics.loss)
            if len(losses) == 1:
                jax.block_until_ready(metrics)
                start = time.process_time()
        jax.block_until_ready(state)
        seconds = (time.process_time() - start) / max(len(losses) - 1, 1)
        yield Trained(variant, seed, graph, parameters, state.parameters, curve(losses), seconds)


def curve(losses: Sequence[jax.Array]) -> list[tuple[int, float]]:
    """At most POINTS points (update, mean training loss since the point before)."""
    values, step = [float(loss) for loss in losses], -(-len(losses) // POINTS)
    parts = [values[start : start + step] for start in range(0, len(values), step)]
    return [(min((n + 1) * step, len(values)), sum(part) / len(part)) for n, part in enumerate(parts)]
