"""One update, from top to bottom: loss, back-propagation, optimizer. Pure functions of (state, batch, key)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Parameters, merge
from transformer.model.dropout import DropoutKey
from transformer.model.kernels import Kernel
from transformer.training.cross_entropy import cross_entropy
from transformer.training.loss import Sums
from transformer.training.objective import OBJECTIVES
from transformer.training.optimizer import Optimizer
from transformer.training.placement import Placement
from transformer.training.schedules import SCHEDULES


class TrainState(NamedTuple):
    """Everything that an update changes, as plain pytrees of arrays.

    `parameters` are those to evaluate, save and translate with; gradients are taken at `Optimizer.gradient_point`.
    """

    parameters: Parameters
    optimizer: optax.OptState
    step: Int[Array, ""]


class Metrics(NamedTuple):
    """The metrics of an update. `tokens` counts real target tokens, `padded_tokens` padding too.

    `extra` holds the objective's further sums by name, divided by `tokens` like the loss.
    """

    loss: Float[Array, ""]
    extra: dict[str, Float[Array, ""]]
    gradient_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    tokens: Float[Array, ""]
    padded_tokens: Float[Array, ""]
    source_tokens: Float[Array, ""]


def build_train_step(
    graph: nnx.GraphDef, config: TrainingConfig, optimizer: Optimizer, placement: Placement, *, kernel: Kernel = "xla"
) -> Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Metrics]]:
    """The update as a pure function; `kernel` computes attention."""
    objective, schedule = OBJECTIVES[config.objective], SCHEDULES[config.schedule](config)

    def train_step(state, batch, key):
        key = jax.random.fold_in(key, state.step)
        point = optimizer.gradient_point(state.parameters, state.optimizer)

        def slice_sums(parameters, rows, key):
            return objective(merge(graph, placement.unsharded(parameters), kernel=kernel), rows, config, key)

        def device_gradients(parameters, rows, key):
            sums, gradients = accumulate(slice_sums, parameters, rows, key, config.accumulation)
            return (sums, count_tokens(rows)), gradients

        (sums, counts), gradients = placement.sum_gradients_over_rows(device_gradients, point, batch, key)
        loss, extra, gradients = per_token((sums.loss, sums.extra, gradients), sums.tokens)
        with jax.named_scope("optimizer"):
            updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.parameters)
            parameters = optax.apply_updates(state.parameters, updates)
        metrics = Metrics(
            loss=loss,
            extra=extra,
            gradient_norm=optax.tree.norm(gradients),
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
            tokens=sums.tokens,
            **counts,
        )
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    return train_step


def accumulate(
    function: Callable[[Parameters, Batch, DropoutKey], Sums],
    parameters: Parameters,
    batch: Batch,
    key: DropoutKey,
    count: int,
) -> tuple[Sums, Parameters]:
    """Sums of `function(parameters, batch, key)`, and the gradients of its loss, over `count` slices of the rows.

    Activations are in memory for one slice at a time. Slice n holds rows n, n + count, ..., so every device has rows of
    every slice.
    """

    def loss_and_sums(parameters: Parameters, rows: Batch, key: DropoutKey) -> tuple[Array, Sums]:
        sums = function(parameters, rows, key)
        return sums.loss, sums

    gradients_of = jax.value_and_grad(loss_and_sums, has_aux=True)

    def sums_and_gradients(rows: Batch, number: Array | int) -> tuple[Sums, Parameters]:
        (_, sums), gradients = gradients_of(parameters, rows, key.fold_slice(number))
        return sums, gradients

    if count == 1:
        return sums_and_gradients(batch, 0)
    slices = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch)
    shapes = jax.eval_shape(function, parameters, jax.tree.map(lambda x: x[0], slices), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes, parameters))

    def add(total, slice_and_number):
        return jax.tree.map(jnp.add, total, sums_and_gradients(*slice_and_number)), None

    return jax.lax.scan(add, zeros, (slices, jnp.arange(count)))[0]


def per_token(sums: tuple, tokens: Float[Array, ""]) -> tuple:
    """Each sum divided by the number of real target tokens; 0 for a batch without any."""
    return jax.tree.map(lambda total: total / jnp.maximum(tokens, 1.0), sums)


def count_tokens(batch: Batch) -> dict[str, Float[Array, ""]]:
    """The number of target tokens of a batch, including padding, and of its real source tokens."""
    return {
        "padded_tokens": jnp.asarray(batch.target_segments.size, jnp.float32),
        "source_tokens": jnp.sum(batch.source_segments != 0, dtype=jnp.float32),
    }


def build_eval_step(
    graph: nnx.GraphDef, config: TrainingConfig, placement: Placement
) -> Callable[[Parameters, Batch], Sums]:
    """The cross-entropy of a batch without dropout or label smoothing, as a pure function."""
    plain = config.model_copy(update={"label_smoothing": 0.0})

    def device_sums(parameters, rows):
        return cross_entropy(merge(graph, placement.unsharded(parameters)), rows, plain)

    def eval_step(parameters, batch):
        return placement.sum_over_rows(device_sums, parameters, batch)

    return eval_step
