"""Muon updates stacks of matrices like single ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data.batch import TokenPair
from data.batching.layout import make_batch
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.devices.mesh import MeshStrategy
from transformer.model import build, split
from transformer.training.optimizer import build_optimizer
from transformer.training.stacks import map_stacks

VOCABULARY = 40
CONFIG = ModelConfig(encoder_layers=2, decoder_layers=2, width=16, heads=2, feed_forward=24, precision="float32")


@pytest.fixture(scope="module")
def parameters():
    return split(build(CONFIG, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, rngs=nnx.Rngs(0)))[1]


def gradients(parameters, step: int):
    leaves, treedef = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(step), len(leaves))
    return jax.tree.unflatten(treedef, [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])


def matrices(parameters):
    return jax.tree_util.tree_map_with_path(lambda path, x: x if path[-1].key == "kernel" else None, parameters)


def test_a_function_of_stacks_is_that_of_each_matrix_and_is_computed_once_for_each_shape(parameters):
    shapes = []

    def sorted_rows(stack):
        shapes.append(stack.shape)
        return jnp.sort(stack, axis=-1)

    kernels = matrices(parameters)
    found = map_stacks(sorted_rows, kernels)
    jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(lambda x: jnp.sort(x, axis=-1), kernels))
    assert sorted(shapes) == [(4, 16, 24), (4, 24, 16), (24, 16, 16)]


def test_matrices_on_different_devices_are_not_stacked_together(parameters):
    shapes = []

    def same(stack):
        shapes.append(stack.shape)
        return stack

    map_stacks(same, matrices(parameters), lambda path: path.partition("/")[0])
    assert sorted(shapes) == [(2, 16, 24), (2, 16, 24), (2, 24, 16), (2, 24, 16), (8, 16, 16), (16, 16, 16)]


def test_muon_updates_stacked_matrices_like_single_ones(parameters):
    """Includes weight decay, which skips norms and biases, and clipping to the norm of all gradients."""
    config = TrainingConfig(
        optimizer="muon", schedule="constant", weight_decay=0.1, learning_rate=0.01, warmup_steps=2, clip=0.5
    )
    single, together = build_optimizer(config), build_optimizer(config, map_stacks)
    found = expected = parameters, single.init(parameters)
    for step in range(3):
        expected = updated(single, *expected, gradients(parameters, step))
        found = updated(together, *found, gradients(parameters, step))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), found, expected)


def updated(optimizer, parameters, state, gradients):
    updates, state = jax.jit(optimizer.update)(gradients, state, parameters)
    return jax.tree.map(jnp.add, parameters, updates), state


def test_stacks_on_a_mesh_update_like_single_matrices_and_do_not_appear_in_checkpoints():
    devices = DevicesConfig(data=2, fsdp=2, tensor=2)
    training = TrainingConfig(optimizer="muon", learning_rate=0.01, warmup_steps=2, weight_decay=0.1)
    config = Config(model=CONFIG, training=training, devices=devices)
    sizes = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    graph, parameters = split(build(CONFIG, **sizes, rngs=nnx.Rngs(0)))
    pairs = [TokenPair([5 + n % 7, 6, 3], [7, 8 + n % 5]) for n in range(8)]
    batch = make_batch([[pair] for pair in pairs], source_length=4, target_length=4, rows_count=8)

    def trained(stacks: bool):
        strategy = MeshStrategy(graph, config, stacks=stacks)
        state = strategy.init_state(jax.device_get(parameters))
        for _ in range(2):
            state, _ = strategy.train_step(state, batch, jax.random.key(3))
        return jax.device_get(strategy.saved(state))

    found, expected = trained(True), trained(False)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found, expected)
