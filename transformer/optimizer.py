"""Optimisers and learning-rate schedules, as optax transformations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from transformer.config import TrainingConfig
from transformer.model import Parameters

Schedule = Callable[[Array], Float[Array, ""]]


def inverse_square_root(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, then peak * sqrt(warmup / step): Vaswani et al. 2017, eq. 3, scaled to its peak."""
    warmup = max(config.warmup_steps, 1)
    return lambda step: config.learning_rate * jnp.minimum((step + 1) / warmup, jnp.sqrt(warmup / (step + 1)))


def cosine(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, then half a cosine down to 0 at the last step (Loshchilov and Hutter 2017, eq. 5)."""

    def rate(step):
        warm = jnp.minimum((step + 1) / max(config.warmup_steps, 1), 1.0)
        share = (step + 1 - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
        return config.learning_rate * warm * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(share, 0.0, 1.0)))

    return rate


def constant(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, and on at the peak."""
    return lambda step: config.learning_rate * jnp.minimum((step + 1) / max(config.warmup_steps, 1), 1.0)


SCHEDULES = {"inverse_square_root": inverse_square_root, "cosine": cosine, "constant": constant}


def is_matrix(parameters: Parameters) -> Parameters:
    """True for each parameter that weight decay applies to: matrices, not biases and normalisation scales."""
    return jax.tree.map(lambda parameter: parameter.ndim >= 2, parameters)


def adamw(config: TrainingConfig, schedule: Schedule) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2)."""
    return optax.adamw(
        schedule, b1=config.beta1, b2=config.beta2, eps=1e-9, weight_decay=config.weight_decay, mask=is_matrix
    )


def adafactor(config: TrainingConfig, schedule: Schedule) -> optax.GradientTransformation:
    """Adafactor (Shazeer and Stern 2018, algorithm 4) with the recipe's schedule in place of its relative steps."""
    return optax.adafactor(
        schedule,
        multiply_by_parameter_scale=False,
        weight_decay_rate=config.weight_decay or None,
        weight_decay_mask=is_matrix,
    )


OPTIMIZERS = {"adamw": adamw, "adafactor": adafactor}


def build_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """The recipe's update rule, after clipping gradients to a global norm (Pascanu et al. 2013, algorithm 1)."""
    update = OPTIMIZERS[config.optimizer](config, SCHEDULES[config.schedule](config))
    return optax.chain(optax.clip_by_global_norm(config.clip), update) if config.clip else optax.chain(update)
