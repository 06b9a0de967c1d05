"""Stacked parameters are updated as they are one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.config import ModelConfig, TrainingConfig
from transformer.model import build, split
from transformer.training.groups import Groups
from transformer.training.optimizer import build_optimizer

VOCABULARY = 40


@pytest.fixture(scope="module")
def parameters():
    config = ModelConfig(encoder_layers=2, decoder_layers=2, width=16, heads=2, feed_forward=24, precision="float32")
    return split(build(config, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, rngs=nnx.Rngs(0)))[1]


def gradients(parameters, step: int):
    leaves, treedef = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(step), len(leaves))
    return jax.tree.unflatten(treedef, [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])


def test_stacking_is_undone_exactly_and_leaves_few_arrays(parameters):
    groups = Groups(parameters)
    stacked = groups.stack(parameters)
    assert len(jax.tree.leaves(stacked)) < 12 < len(jax.tree.leaves(parameters)) / 4
    assert {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(stacked)} == {
        path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(parameters)
    }
    jax.tree.map(np.testing.assert_array_equal, groups.unstack(stacked), parameters)


def test_arrays_that_lie_on_other_devices_are_not_stacked_together(parameters):
    placements = jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, parameters)
    members = Groups(parameters, placements).members.values()
    assert all(len({path[0].key for path in paths}) == 1 for paths in members)


@pytest.mark.parametrize("name", ["adamw", "muon", "schedule_free"])
def test_an_optimizer_does_to_stacked_parameters_what_it_does_to_each(parameters, name):
    """Weight decay, which spares norms and biases, and clipping to the norm of all gradients, included."""
    config = TrainingConfig(
        optimizer=name, schedule="constant", weight_decay=0.1, learning_rate=0.01, warmup_steps=2, clip=0.5
    )
    optimizer, groups = build_optimizer(config), Groups(parameters)
    state, template = optimizer.init(parameters), jax.eval_shape(optimizer.init, groups.stack(parameters))

    @jax.jit
    def one_by_one(parameters, state, gradients):
        updates, state = optimizer.update(gradients, state, parameters)
        return jax.tree.map(jnp.add, parameters, updates), state

    @jax.jit
    def together(parameters, state, gradients):
        stacked = groups.stack(parameters)
        updates, after = optimizer.update(groups.stack(gradients), groups.stack_state(state, template), stacked)
        return groups.unstack(jax.tree.map(jnp.add, stacked, updates)), groups.unstack_state(after, state)

    expected = found = parameters, state
    for step in range(3):
        expected = one_by_one(*expected, gradients(parameters, step))
        found = together(*found, gradients(parameters, step))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), found, expected)
