"""Schedules and updates against values worked out on paper or in NumPy, and what weight decay skips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.config import TrainingConfig
from transformer.training.optimizer import OPTIMIZERS, build_optimizer, orthogonalized
from transformer.training.schedules import SCHEDULES


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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_matrices_and_spares_vectors(name):
    optimizer = build_optimizer(
        TrainingConfig(optimizer=name, weight_decay=0.3, learning_rate=0.1, warmup_steps=0, schedule="constant")
    )
    parameters = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2,))}
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, parameters), optimizer.init(parameters), parameters)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.3, rtol=1e-5)  # learning rate * decay * parameter
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


def steady(**training) -> TrainingConfig:
    """A constant learning rate of 0.1 from the first update on."""
    return TrainingConfig(**{"learning_rate": 0.1, "warmup_steps": 0, "schedule": "constant", "clip": 0.0} | training)


def random_matrix(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(6, 4), (4, 4), (3, 12)])
def test_muon_turns_the_gradient_of_a_matrix_into_an_orthogonal_one_of_the_size_of_adams_update(shape):
    gradient = random_matrix(*shape)
    parameters = {"kernel": jnp.zeros(shape)}
    optimizer = build_optimizer(steady(optimizer="muon"))
    update = optimizer.update({"kernel": jnp.asarray(gradient)}, optimizer.init(parameters), parameters)[0]["kernel"]
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    in_gradients_directions = left.T @ (-np.asarray(update) / (0.1 * 0.2 * max(shape) ** 0.5)) @ right.T
    values = np.diag(in_gradients_directions)
    assert ((values > 0.6) & (values < 1.3)).all()
    np.testing.assert_allclose(in_gradients_directions, np.diag(values), atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.square(update).mean()) / 0.1, 0.2, rtol=0.3)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_singular_values_from_a_200th_of_the_norm_on_come_near_1(shape):
    left, _, right = np.linalg.svd(random_matrix(*shape), full_matrices=False)
    values = np.geomspace(1, 0.001, 24)
    values /= np.linalg.norm(values)
    matrix = (values * left) @ right
    found = np.diag(left.T @ np.asarray(orthogonalized(jnp.asarray(100 * matrix))) @ right.T)
    kept = values >= 1 / 200
    assert 12 < kept.sum() < 24
    assert found[kept].min() > 0.68
    assert found[kept].max() < 1.16
    assert found.min() < 0.68
    np.testing.assert_array_equal(orthogonalized(jnp.zeros(shape)), 0.0)


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """Five steps of the quintic iteration of Jordan et al. 2024, in float64."""
    x = matrix.astype(np.float64) / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def test_two_updates_of_muon_are_those_of_its_formulas_written_out():
    config = steady(optimizer="muon", weight_decay=0.3, muon_momentum=0.8, muon_scale=0.5)
    optimizer = build_optimizer(config)
    kernel = random_matrix(3, 5)
    parameters, mean = {"kernel": jnp.asarray(kernel)}, np.zeros((3, 5))
    state = optimizer.init(parameters)
    for step in (1, 2):
        gradient = random_matrix(3, 5, seed=step)
        updates, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, parameters)
        parameters = {"kernel": parameters["kernel"] + updates["kernel"]}
        mean = 0.8 * mean + gradient
        kernel = kernel - 0.1 * (0.5 * 5**0.5 * newton_schulz(0.8 * mean + gradient) + 0.3 * kernel)
        np.testing.assert_allclose(parameters["kernel"], kernel, rtol=1e-3, atol=1e-5)


def test_muon_leaves_all_but_kernels_to_adamw():
    empty = {"dense": {"kernel": np.empty((3, 3)), "bias": np.empty(3)}, "embedding": {"table": np.empty((4, 3))}}
    parameters = jax.tree.map(lambda leaf: jnp.asarray(random_matrix(*leaf.shape, seed=1)), empty)
    gradients = jax.tree.map(lambda leaf: jnp.asarray(random_matrix(*leaf.shape, seed=2)), empty)

    def updates(name):
        optimizer = build_optimizer(steady(optimizer=name, weight_decay=0.1))
        return optimizer.update(gradients, optimizer.init(parameters), parameters)[0]

    by_muon, by_adamw = updates("muon"), updates("adamw")
    assert not np.allclose(by_muon["dense"].pop("kernel"), by_adamw["dense"].pop("kernel"))
    jax.tree.map(np.testing.assert_array_equal, by_muon, by_adamw)


def test_the_three_sequences_of_schedule_free_are_those_of_its_formulas_written_out():
    """Six updates towards `goal`, the learning rate rising over the first four."""
    config = steady(optimizer="schedule_free", beta1=0.8, beta2=0.5, weight_decay=0.3, warmup_steps=4)
    optimizer, goal = build_optimizer(config), random_matrix(2, 3, seed=1)
    x = z = random_matrix(2, 3).astype(np.float64)
    parameters = {"kernel": jnp.asarray(x, jnp.float32)}
    state = optimizer.init(parameters)
    mean_square, weights = np.zeros((2, 3)), 0.0
    for step in range(1, 7):
        y = 0.2 * z + 0.8 * x
        point = optimizer.gradient_point(parameters, state)
        np.testing.assert_allclose(point["kernel"], y, rtol=1e-4, atol=1e-6)
        updates, state = optimizer.update({"kernel": point["kernel"] - goal}, state, parameters)
        parameters = {"kernel": parameters["kernel"] + updates["kernel"]}

        rate, gradient = 0.1 * min(step / 4, 1), y - goal
        mean_square = 0.5 * mean_square + 0.5 * gradient**2
        z = z - rate * (gradient / np.sqrt(mean_square / (1 - 0.5**step)) + 0.3 * y)
        weights += rate**2
        x = (1 - rate**2 / weights) * x + rate**2 / weights * z
        np.testing.assert_allclose(state[-1].z["kernel"], z, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(parameters["kernel"], x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "schedule_free"])
def test_other_rules_take_their_gradient_at_the_parameters(name):
    parameters = {"kernel": jnp.ones((2, 2))}
    optimizer = build_optimizer(steady(optimizer=name))
    assert optimizer.gradient_point(parameters, optimizer.init(parameters)) is parameters


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": "schedule_free"}, 'training.schedule is "inverse_square_root", but training.optimizer "sch'),
        (
            {"optimizer": "schedule_free", "schedule": "cosine"},
            'lowering the learning rate: set training.schedule to "con',
        ),
        ({"optimizer": "schedule_free", "schedule": "constant", "beta1": 0.0}, "training.beta1 is 0.0, but training."),
        ({"muon_momentum": 0.9}, 'training.muon_momentum is for muon: set training.optimizer to "muon" too'),
        ({"muon_scale": 0.3, "optimizer": "adafactor"}, "training.muon_scale is for muon"),
    ],
)
def test_knobs_that_contradict_the_optimizer_are_refused(training, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**training)
