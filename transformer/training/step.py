"""One update: forward, loss, back-propagation, optimiser. Pure functions of (state, batch)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from data.batch import Batch
from transformer.config import Config
from transformer.model import Parameters, merge
from transformer.model.dropout import DropoutKey
from transformer.training.loss import LossSums, chunked_loss
from transformer.training.optimizer import SCHEDULES, build_optimizer, gradient_point


class TrainState(NamedTuple):
    """All that an update changes: plain pytrees of arrays.

    `parameters` are those to evaluate, save and translate with; gradients are taken at `optimizer.gradient_point`.
    """

    parameters: Parameters
    optimizer: optax.OptState
    step: Int[Array, ""]


class Metrics(NamedTuple):
    """What an update reports. `tokens` counts real target tokens; padding is the rest of the batch's target `slots`."""

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    tokens: Float[Array, ""]
    slots: Float[Array, ""]
    source_tokens: Float[Array, ""]


GradientSums = Callable[[Parameters, Batch, Key[Array, ""]], tuple[LossSums, Parameters]]
"""The loss of a batch and its gradients, as sums over real target tokens, given the key of dropout."""


def batch_loss(
    graph: nnx.GraphDef,
    parameters: Parameters,
    batch: Batch,
    *,
    smoothing: float,
    dropout_key: DropoutKey | None = None,
) -> LossSums:
    """Encoder, decoder, output layer and loss of a batch, summed over its real target tokens.

    The output layer is applied inside the loss, chunk by chunk; `loss.plain_loss` is the formula.
    """
    model = merge(graph, parameters)
    hidden = model.features(batch, dropout_key=dropout_key)
    weights = (batch.target_segments != 0).astype(jnp.float32)
    table = model.output().table[...]
    with jax.named_scope("loss"):
        loss = chunked_loss(hidden, table, batch.target_labels, weights, smoothing, model.output().precision)
    return LossSums(loss, weights.sum())


def accumulate(
    function: Callable[[Parameters, Batch, DropoutKey], LossSums],
    parameters: Parameters,
    batch: Batch,
    key: DropoutKey,
    parts: int,
) -> tuple[LossSums, Parameters]:
    """Sums of `function(parameters, batch, key)` and of its gradients over `parts` slices of the batch's rows.

    Only one slice is in memory at a time. Slice a holds rows a, a + parts, ...: each device has rows of every slice.
    """

    def loss_and_sums(parameters: Parameters, part: Batch, key: DropoutKey) -> tuple[Array, LossSums]:
        sums = function(parameters, part, key)
        return sums.loss, sums

    gradients_of = jax.value_and_grad(loss_and_sums, has_aux=True)

    def one(part: Batch, number: Array | int) -> tuple[LossSums, Parameters]:
        (_, sums), gradients = gradients_of(parameters, part, key.fold(number))
        return sums, gradients

    if parts == 1:
        return one(batch, 0)
    slices = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    zeros = (LossSums(jnp.zeros(()), jnp.zeros(())), jax.tree.map(jnp.zeros_like, parameters))

    def add(total, slice_and_number):
        return jax.tree.map(jnp.add, total, one(*slice_and_number)), None

    return jax.lax.scan(add, zeros, (slices, jnp.arange(parts)))[0]


def build_gradient_sums(
    graph: nnx.GraphDef, config: Config, *, gather: Callable[[Parameters], Parameters] = lambda parameters: parameters
) -> Callable[..., tuple[LossSums, Parameters]]:
    """`GradientSums` on one device; with `part`, of those rows that are this part of a batch's equal ones, in order.

    `gather` brings parameters together that devices share out, before they are used.
    """
    training = config.training

    def loss(parameters, batch, key):
        return batch_loss(graph, gather(parameters), batch, smoothing=training.label_smoothing, dropout_key=key)

    def gradient_sums(parameters, batch, key, part=0):
        return accumulate(loss, parameters, batch, DropoutKey(key, part), training.accumulation)

    return gradient_sums


def build_train_step(
    config: Config, gradient_sums: GradientSums
) -> Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Metrics]]:
    """The update as a pure function."""
    optimizer = build_optimizer(config.training)
    schedule = SCHEDULES[config.training.schedule](config.training)

    def train_step(state, batch, key):
        key = jax.random.fold_in(key, state.step)
        point = gradient_point(state.parameters, state.optimizer)
        sums, gradients = gradient_sums(point, batch, key)
        gradients = jax.tree.map(lambda gradient: gradient / jnp.maximum(sums.tokens, 1.0), gradients)
        with jax.named_scope("optimizer"):
            updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.parameters)
            parameters = optax.apply_updates(state.parameters, updates)
        metrics = Metrics(
            loss=sums.loss / jnp.maximum(sums.tokens, 1.0),
            gradient_norm=optax.tree.norm(gradients),
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
            tokens=sums.tokens,
            slots=jnp.asarray(batch.target_segments.size, jnp.float32),
            source_tokens=jnp.sum(batch.source_segments != 0, dtype=jnp.float32),
        )
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    return train_step


def evaluation_sums(graph: nnx.GraphDef, parameters: Parameters, batch: Batch) -> LossSums:
    """The cross-entropy of a batch without dropout or label smoothing, as sums."""
    return batch_loss(graph, parameters, batch, smoothing=0.0)
