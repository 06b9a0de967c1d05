"""Learning-rate schedules, as functions of the number of updates so far."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from transformer.config import TrainingConfig

Schedule = Callable[[Array], Float[Array, ""]]


def inverse_square_root(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, then peak * sqrt(warmup / step): Vaswani et al. 2017, eq. 3, scaled to its peak."""
    warmup = max(config.warmup_steps, 1)
    return lambda step: config.learning_rate * jnp.minimum((step + 1) / warmup, jnp.sqrt(warmup / (step + 1)))


def cosine(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, then half a cosine down to 0 at the last step (Loshchilov and Hutter 2017, eq. 5)."""

    def rate(step):
        warm = jnp.minimum((step + 1) / max(config.warmup_steps, 1), 1.0)
        progress = (step + 1 - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
        return config.learning_rate * warm * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))

    return rate


def constant(config: TrainingConfig) -> Schedule:
    """Linear warm-up to the peak, then the peak for the rest of training."""
    return lambda step: config.learning_rate * jnp.minimum((step + 1) / max(config.warmup_steps, 1), 1.0)


SCHEDULES = {"inverse_square_root": inverse_square_root, "cosine": cosine, "constant": constant}
