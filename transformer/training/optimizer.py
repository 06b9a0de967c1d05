"""Update rules: optax transformations with a gradient point. To add one, write a function, and add it to OPTIMIZERS."""

from collections.abc import Callable
from operator import not_
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from optax.contrib import ScheduleFreeState, schedule_free
from optax.contrib import schedule_free_eval_params as averaged

from transformer.config import TrainingConfig
from transformer.model import Parameters
from transformer.training.schedules import SCHEDULES, Schedule

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Optimizer(NamedTuple):
    """An optax transformation, together with the point at which its gradients are taken."""

    init: Callable[[Parameters], optax.OptState]
    update: Callable[[Parameters, optax.OptState, Parameters], tuple[Parameters, optax.OptState]]
    gradient_point: Callable[[Parameters, optax.OptState], Parameters] = lambda parameters, state: parameters
    """The point of the next gradient, given the parameters to evaluate and save; for most rules, those parameters.

    It depends only on what a checkpoint holds, so that a resumed run takes its gradients at the same point.
    """
    depends_on_shape: bool = False
    """Whether the update of an embedding depends on the table's size; such a rule must not see padded rows."""


MapMatrices = Callable[[Callable[[Array], Array], Parameters], Parameters]
"""How a rule computes a function of each matrix of a tree: `jax.tree.map`, or `stacks.map_stacks`."""

MATRICES = ("kernel", "table")
"""The last names of parameters that are matrices; the others, "bias" and "scale", are vectors."""


def is_matrix(parameters: Parameters) -> Parameters:
    """True for each parameter that weight decay applies to: matrices, not biases and normalisation scales."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in MATRICES, parameters)


def is_hidden_matrix(parameters: Parameters) -> Parameters:
    """True for the kernels of attention and feed-forward networks, False for embeddings, positions, norms, biases."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", parameters)


def is_other(parameters: Parameters) -> Parameters:
    """True for each parameter that is not a hidden matrix."""
    return jax.tree.map(not_, is_hidden_matrix(parameters))


def adam_with_decay(config: TrainingConfig, schedule: Schedule) -> optax.GradientTransformation:
    """optax's AdamW."""
    return optax.adamw(
        schedule, b1=config.beta1, b2=config.beta2, eps=1e-9, weight_decay=config.weight_decay, mask=is_matrix
    )


def adamw(config: TrainingConfig, schedule: Schedule, _: MapMatrices) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2)."""
    return Optimizer(*adam_with_decay(config, schedule))


def adafactor(config: TrainingConfig, schedule: Schedule, _: MapMatrices) -> Optimizer:
    """Adafactor (Shazeer and Stern 2018, algorithm 4), with the recipe's schedule instead of relative step sizes.

    In optax's version, weight decay does not depend on the learning rate; here it is rate * decay, as in AdamW.
    """

    def decay(step: Array) -> Float[Array, ""]:
        return config.weight_decay * schedule(step)

    rule = optax.adafactor(
        schedule,
        multiply_by_parameter_scale=False,
        weight_decay_rate=decay if config.weight_decay else None,
        weight_decay_mask=is_matrix,
    )
    return Optimizer(rule.init, rule.update, depends_on_shape=True)


def orthogonalized(matrix: Float[Array, "*stack rows columns"]) -> Float[Array, "*stack rows columns"]:
    """Approximately U V^T of a matrix U S V^T, or of each matrix of a stack.

    Five Newton-Schulz steps with the coefficients of Jordan et al. 2024 turn singular values of at least 1/200 of the
    norm into 0.68 to 1.16. Each step applies the polynomial a s + b s^3 + c s^5 to every singular value s. X is the
    matrix or its transpose, whichever has fewer rows:

        X = a X + (b X X^T + c (X X^T)^2) X
    """
    a, b, c = NEWTON_SCHULZ
    rows, columns = matrix.shape[-2:]
    x = matrix if rows <= columns else matrix.mT
    x /= jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-8
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if rows <= columns else x.mT


def muon(config: TrainingConfig, schedule: Schedule, map_matrices: MapMatrices) -> Optimizer:
    """Muon for hidden matrices (Jordan et al. 2024), and AdamW for the rest.

    The mean gradient of a matrix [in, out], with Nesterov momentum, is approximately orthogonalised and multiplied by
    muon_scale * sqrt(max(in, out)) (Liu et al. 2025, eq. 4). Its root mean square is then muon_scale for every shape.
    That of AdamW's updates is about 0.2, so one learning rate serves both parts.
    """

    def of_mean(mean: Float[Array, "*stack rows columns"]) -> Float[Array, "*stack rows columns"]:
        return config.muon_scale * max(mean.shape[-2:]) ** 0.5 * orthogonalized(mean)

    def to_update(means: Parameters, _: Parameters | None) -> Parameters:
        return map_matrices(of_mean, means)

    matrices = optax.chain(
        optax.trace(config.muon_momentum, nesterov=True),
        optax.stateless(to_update),
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_learning_rate(schedule),
    )
    others = adam_with_decay(config, schedule)
    rule = optax.chain(optax.masked(matrices, is_hidden_matrix), optax.masked(others, is_other))
    return Optimizer(rule.init, rule.update)


def schedule_free_adamw(config: TrainingConfig, schedule: Schedule, _: MapMatrices) -> Optimizer:
    """Schedule-Free AdamW (Defazio et al. 2024, algorithm 1): averaging instead of a falling learning rate.

        y = (1 - beta1) z + beta1 x                   the gradient is taken here: `interpolated`
        z = z - rate (adam(gradient(y)) + decay y)
        x = (1 - c) x + c z                           with c = rate^2 / (sum of rate^2 so far)

    Training stores x as the parameters, to validate, save and translate with. The optimizer's state holds z, and y is
    computed from both. Adam has no mean gradient here, because the average replaces it.
    """
    adam = optax.chain(
        optax.scale_by_rms(decay=config.beta2, eps=1e-9, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(config.weight_decay, mask=is_matrix),
        optax.scale_by_learning_rate(schedule),
    )
    inner = schedule_free(adam, lambda count: schedule(count - 1), b1=config.beta1)  # optax counts updates from 1

    def update(gradients, state, parameters):
        point = interpolated(parameters, state)
        updates, state = inner.update(gradients, state, point)
        moved = averaged(state, optax.apply_updates(point, updates))
        return jax.tree.map(jnp.subtract, moved, parameters), state

    return Optimizer(inner.init, update, interpolated)


def interpolated(parameters: Parameters, state: ScheduleFreeState) -> Parameters:
    """Schedule-Free's point y, between the average x, which is `parameters`, and z."""
    return jax.tree.map(lambda x, z: state.b1 * x + (1.0 - state.b1) * z, parameters, state.z)


OPTIMIZERS: dict[str, Callable[[TrainingConfig, Schedule, MapMatrices], Optimizer]] = {
    "adamw": adamw,
    "adafactor": adafactor,
    "schedule_free": schedule_free_adamw,
    "muon": muon,
}


def build_optimizer(config: TrainingConfig, map_matrices: MapMatrices = jax.tree.map) -> Optimizer:
    """The recipe's update rule, after clipping gradients to a global norm (Pascanu et al. 2013, algorithm 1)."""
    rule = OPTIMIZERS[config.optimizer](config, SCHEDULES[config.schedule](config), map_matrices)
    transformation = optax.GradientTransformation(rule.init, rule.update)
    clipping = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    init, update = optax.chain(*clipping, transformation)
    return rule._replace(
        init=init, update=update, gradient_point=lambda parameters, state: rule.gradient_point(parameters, state[-1])
    )
