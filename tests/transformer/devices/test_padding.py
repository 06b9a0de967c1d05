"""Any vocabulary size works on any mesh: padded tables change no update and are invisible elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.errors import InputError
from dragoman.commands import train
from dragoman.runs.checkpoint import Checkpointer, parameters_sha256, restore_optimizer, restore_parameters
from tests.support.paths import ROOT
from tests.support.tiny_update import MAPPINGS, assert_same_parameters, batches, fit, recipe, start
from transformer.config import DevicesConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract, merge
from transformer.training.chunks import label_log_probabilities
from transformer.training.loss import chunked_loss, plain_loss
from transformer.training.optimizer import OPTIMIZERS

PIECES = 57
SHARED = DevicesConfig(data=1, fsdp=2, tensor=2)


def shapes(tree) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradients_with_a_padded_table_are_those_without(smoothing):
    keys = jax.random.split(jax.random.key(0), 3)
    hidden = (
        3 * jax.random.normal(keys[0], (4, 6, 8)) - 2
    )  # logits far below 0, so that a padding logit of 0 would matter
    table = jax.random.normal(keys[1], (PIECES, 8))
    padded = jnp.pad(table, ((0, 7), (0, 0)))
    labels, weights = jax.random.randint(keys[2], (4, 6), 0, PIECES), jnp.ones((4, 6))

    def loss(hidden, table):
        return chunked_loss(hidden, table, labels, weights, smoothing, "float32", PIECES)

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(hidden, table)
    padded_value, padded_gradients = jax.value_and_grad(loss, argnums=(0, 1))(hidden, padded)
    np.testing.assert_allclose(padded_value, value, rtol=1e-6)
    np.testing.assert_allclose(loss(hidden, padded), value, rtol=1e-6)
    plain = plain_loss(hidden, padded, labels, weights, smoothing=smoothing, vocabulary=PIECES)
    np.testing.assert_allclose(plain, value, rtol=1e-5)
    np.testing.assert_allclose(padded_gradients[0], gradients[0], atol=1e-5)
    np.testing.assert_allclose(padded_gradients[1][:PIECES], gradients[1], atol=1e-5)
    np.testing.assert_array_equal(padded_gradients[1][PIECES:], 0.0)


def test_probabilities_with_a_padded_table_are_those_without():
    hidden = jax.random.normal(jax.random.key(0), (2, 3, 8)) - 2
    table = jax.random.normal(jax.random.key(1), (PIECES, 8))
    labels = jnp.array([[0, 5, 56], [1, 2, 3]])
    expected, found = (
        label_log_probabilities(hidden, each, labels, "float32", PIECES)
        for each in (table, jnp.pad(table, ((0, 7), (0, 0))))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_57_pieces_on_two_by_two_devices_give_the_update_of_one_by_every_rule(optimizer):
    state, losses = fit(recipe(optimizer=optimizer, weight_decay=0.1), steps=6, vocabulary=PIECES)
    other, other_losses = fit(recipe(optimizer=optimizer, weight_decay=0.1, devices=SHARED), steps=6, vocabulary=PIECES)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    assert_same_parameters(other, state)
    assert shapes(other) == shapes(state)


def test_factored_statistics_never_see_the_rows_of_padding():
    """Adafactor keeps row and column means of tables of at least 128 by 128; 129 rows are padded to 130."""
    config = recipe(optimizer="adafactor").with_model({"width": 128})
    state, losses = fit(config, steps=3, vocabulary=129)
    shared = config.model_copy(update={"devices": SHARED})
    other, other_losses = fit(shared, steps=3, vocabulary=129)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    assert_same_parameters(other, state)
    assert shapes(other.optimizer) == shapes(state.optimizer)
    assert {(129,), (128,)} <= set(shapes(state.optimizer))


@pytest.mark.parametrize("name", ["mixed", "fsdp"])
def test_57_pieces_on_eight_devices_give_the_update_of_one(name):
    state, losses = fit(recipe(), steps=6, vocabulary=PIECES)
    other, other_losses = fit(recipe(devices=MAPPINGS[name]), steps=6, vocabulary=PIECES)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    assert_same_parameters(other, state)


def test_rows_of_padding_are_zero_and_stay_zero_and_predict_nothing():
    config = recipe(devices=SHARED, weight_decay=0.1)
    strategy, state = start(config, PIECES)
    for batch in batches(3, PIECES):
        state, _ = strategy.train_step(state, batch, jax.random.key(7))
    table = state.parameters["target_embedding"]["table"]
    assert table.shape[0] == 58
    assert np.abs(table[:PIECES]).min(axis=1).max() > 0
    for leaf in jax.tree.leaves(state):
        if leaf.shape == table.shape:
            np.testing.assert_array_equal(leaf[PIECES:], 0.0)
    model = merge(strategy.graph, state.parameters)
    assert model.output().logits(jnp.ones((1, 2, 32))).shape == (1, 2, PIECES)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_checkpoint_of_padded_tables_has_true_sizes_and_restores_exactly_anywhere(optimizer, tmp_path):
    config = recipe(optimizer=optimizer, devices=SHARED)
    strategy, state = start(config, PIECES)
    state, _ = strategy.train_step(state, batches(1, PIECES)[0], jax.random.key(7))
    saved = strategy.saved(state)
    graph, parameters = abstract(config.model, PIECES, PIECES)
    assert shapes(saved.parameters) == shapes(parameters)
    assert PIECES + 1 not in {size for shape in shapes(saved) for size in shape}
    with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes={}) as checkpointer:
        checkpointer.save(1, saved.parameters, saved.optimizer, progress={})
    for devices in (MAPPINGS["one"], MAPPINGS["pmap"], DevicesConfig(data=2, tensor=4), SHARED):
        target = STRATEGIES[devices.strategy](graph, recipe(optimizer=optimizer, devices=devices))
        template = target.template(parameters)
        restored = target.restore(
            restore_parameters(tmp_path / "1", template.parameters),
            restore_optimizer(tmp_path / "1", template.optimizer),
            1,
        )
        again = target.saved(restored)
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(again), jax.device_get(saved))
        assert parameters_sha256(again.parameters) == parameters_sha256(saved.parameters)
    resumed, _ = target.train_step(restored, batches(2, PIECES)[1], jax.random.key(7))
    state, _ = strategy.train_step(state, batches(2, PIECES)[1], jax.random.key(7))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(resumed), jax.device_get(state))


def test_a_width_that_does_not_divide_is_still_refused():
    config = recipe(devices=DevicesConfig(data=1, fsdp=3))
    with pytest.raises(InputError, match=r"of shape \(32, 32\) is not divisible by devices.fsdp 3"):
        start(config, PIECES)


@pytest.mark.slow
def test_the_toy_recipe_trains_translates_and_saves_its_57_pieces_on_two_by_two_devices(tmp_path):
    run, mesh = tmp_path / "run", ["--devices.data", "1", "--devices.fsdp", "2", "--devices.tensor", "2"]
    short = ["--training.steps", "4", "--training.batch_tokens", "256", "--training.validation_sentences", "8"]
    assert train.main([str(ROOT / "configs/toy.toml"), "--run", str(run), *mesh, *short]) == 0
    table = restore_parameters(run / "checkpoints" / "4")["target_embedding"]["table"]
    assert table.shape == (PIECES, 64)
