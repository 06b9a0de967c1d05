"""Schedules worked by hand, and what weight decay spares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.config import TrainingConfig
from transformer.optimizer import SCHEDULES, build_optimizer


def rates(schedule: str, steps: list[int]) -> list[float]:
    config = TrainingConfig(learning_rate=0.8, warmup_steps=4, steps=12, schedule=schedule)
    return [float(SCHEDULES[schedule](config)(jnp.asarray(step - 1))) for step in steps]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_rises_linearly_to_its_peak(schedule):
    np.testing.assert_allclose(rates(schedule, [1, 2, 4]), [0.2, 0.4, 0.8], rtol=1e-6)


def test_after_the_warm_up_each_falls_by_its_formula():
    np.testing.assert_allclose(rates("inverse_square_root", [16, 64]), [0.4, 0.2], rtol=1e-6)
    np.testing.assert_allclose(rates("cosine", [8, 12]), [0.4, 0.0], atol=1e-7)
    np.testing.assert_allclose(rates("constant", [8, 12]), [0.8, 0.8], rtol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_weight_decay_shrinks_matrices_and_spares_vectors(name):
    optimizer = build_optimizer(
        TrainingConfig(optimizer=name, weight_decay=0.1, learning_rate=0.1, warmup_steps=0, schedule="constant")
    )
    parameters = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2,))}
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, parameters), optimizer.init(parameters), parameters)
    assert (updates["kernel"] < 0).all()
    np.testing.assert_array_equal(updates["bias"], 0.0)


def test_clipping_bounds_the_gradient_that_the_update_sees():
    def first_update(scale):
        config = TrainingConfig(optimizer="adamw", clip=1.0, learning_rate=0.1, warmup_steps=0, schedule="constant")
        optimizer = build_optimizer(config)
        parameters = {"w": jnp.zeros((3,))}
        state = optimizer.init(parameters)
        gradient = {"w": scale * jnp.array([3.0, 4.0, 0.0])}
        return jax.tree.leaves(optimizer.update(gradient, state, parameters)[1])

    for large, larger in zip(first_update(10.0), first_update(1000.0), strict=True):
        np.testing.assert_allclose(large, larger, rtol=1e-5)
