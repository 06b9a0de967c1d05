"""The update: accumulation equals the large batch, eight devices equal one, and the loss goes down."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dragoman.runs.checkpoint import Checkpointer, restore_optimizer, restore_parameters
from tests.support.tiny_update import (
    LENGTH,
    MAPPINGS,
    ROWS,
    VOCABULARY,
    assert_same_parameters,
    batches,
    fit,
    recipe,
    start,
)
from transformer.config import Config, DevicesConfig
from transformer.devices import STRATEGIES
from transformer.devices.sharding import parameter_spec
from transformer.model import abstract, build, merge, split
from transformer.model.dropout import DropoutKey
from transformer.training.cross_entropy import cross_entropy
from transformer.training.optimizer import OPTIMIZERS


def dict_path(path) -> tuple[str, ...]:
    """The names of modules and parameter in a path through an optimizer's state; none where it holds no parameter."""
    return tuple(key.key for key in path if isinstance(key, jax.tree_util.DictKey))


def dict_path_leaves(tree) -> dict[tuple[str, ...], jax.Array]:
    return {dict_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.fixture(scope="module")
def one_device():
    return fit(recipe())


def unigram_entropy(labels: np.ndarray) -> float:
    """The lowest cross-entropy of a model that knows the frequency of each token, but not the source."""
    counts = np.unique(labels, return_counts=True)[1]
    return -np.sum(counts / counts.sum() * np.log(counts / counts.sum()))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_copying_is_learned_by_looking_at_the_source(optimizer):
    *training, held_out = batches(121, vocabulary=10)
    strategy, state = start(recipe(optimizer=optimizer), vocabulary=10)
    for batch in training:
        state, _ = strategy.train_step(state, batch, jax.random.key(7))
    sources = ("source", "source_segments", "source_positions")
    of_others = held_out._replace(**{name: np.roll(getattr(held_out, name), 1, axis=0) for name in sources})
    sums, sums_of_others = strategy.eval_step(state, held_out), strategy.eval_step(state, of_others)
    entropy = unigram_entropy(held_out.target_labels[held_out.target_segments != 0])
    assert sums.loss / sums.tokens < 0.5 * entropy
    assert sums_of_others.loss / sums_of_others.tokens > entropy


def test_an_update_under_pmap_keeps_the_layout_of_the_state_so_that_it_is_not_compiled_again():
    strategy, state = start(recipe(devices=MAPPINGS["pmap"]))
    before = jax.tree.map(lambda x: x.sharding, state)
    state, _ = strategy.train_step(state, batches(1)[0], jax.random.key(7))
    assert jax.tree.map(lambda x: x.sharding, state) == before


@pytest.mark.parametrize("name", ["data", "pmap"])
def test_evaluation_is_the_cross_entropy_of_the_labels_whatever_training_smooths_and_drops(name):
    config = recipe(dropout=0.3, label_smoothing=0.3, devices=MAPPINGS[name])
    strategy, state = start(config)
    [batch] = batches(1)
    parameters = jax.tree.map(jnp.asarray, jax.device_get(strategy.saved(state).parameters))
    model = merge(abstract(config.model, VOCABULARY, VOCABULARY)[0], parameters)
    logits = model.output().logits(model.features(jax.tree.map(jnp.asarray, batch)))
    scores = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), batch.target_labels[..., None], axis=-1)[..., 0]
    sums, is_real = strategy.eval_step(state, batch), batch.target_segments != 0
    assert sums.tokens == is_real.sum()
    assert float(sums.loss) == pytest.approx(-scores[is_real].sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["data", "fsdp", "tensor", "mixed", "pmap"])
def test_eight_devices_give_the_update_of_one_and_repeat_it_bit_for_bit(name, one_device):
    state, losses = fit(recipe(devices=MAPPINGS[name]))
    np.testing.assert_allclose(losses, one_device[1], rtol=1e-5)
    assert_same_parameters(state, one_device[0])
    jax.tree.map(np.testing.assert_array_equal, state, fit(recipe(devices=MAPPINGS[name]))[0])


def first_gradient(config: Config, seed: int = 7) -> np.ndarray:
    """The gradient of the first update, up to a factor: AdamW's mean gradient before it is normalised."""
    strategy, state = start(config)
    state, _ = strategy.train_step(state, batches(1)[0], jax.random.key(seed))
    means = optax.tree.get(jax.device_get(strategy.saved(state)).optimizer, "mu")
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(means)])


def distance(gradient: np.ndarray, expected: np.ndarray) -> float:
    return np.linalg.norm(gradient - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["data", "fsdp", "mixed", "pmap"])
def test_dropout_on_eight_devices_is_that_of_one(name):
    """Compares gradients, because Adam amplifies rounding of gradients near zero to full updates of parameters."""
    expected = first_gradient(recipe(dropout=0.3))
    assert distance(first_gradient(recipe(dropout=0.3), seed=8), expected) > 0.1  # different masks
    assert distance(first_gradient(recipe(dropout=0.3, devices=MAPPINGS[name])), expected) < 1e-5
    losses, other_losses = (fit(recipe(dropout=0.3, devices=MAPPINGS[each]), steps=4)[1] for each in ("one", name))
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)


def test_an_update_of_rows_that_do_not_divide_by_the_devices_is_that_of_one():
    """13 rows are padded to 16: one device has only empty rows, and one has half of its rows empty."""
    expected, expected_losses = fit(recipe(), steps=5, rows=13)
    for name in ("data", "pmap"):
        state, losses = fit(recipe(devices=MAPPINGS[name]), steps=5, rows=13)
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
        assert_same_parameters(state, expected)


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("adafactor", marks=pytest.mark.exhaustive)])
def test_a_checkpoint_of_any_mapping_restores_on_any_other_exactly(optimizer, tmp_path):
    graph, parameters = split(
        build(recipe().model, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, rngs=nnx.Rngs(0))
    )
    configs = {name: recipe(devices=devices, optimizer=optimizer) for name, devices in MAPPINGS.items()}
    strategies = {name: STRATEGIES[config.devices.strategy](graph, config) for name, config in configs.items()}
    for step, (name, strategy) in enumerate(strategies.items(), start=1):
        state, _ = strategy.train_step(
            strategy.init_state(jax.device_get(parameters)), batches(1)[0], jax.random.key(7)
        )
        saved = strategy.saved(state)
        with Checkpointer(tmp_path, keep_last=9, keep_best=0, hashes={}) as checkpointer:
            checkpointer.save(step, saved.parameters, saved.optimizer, progress={})
        for other, target in strategies.items():
            template = target.template(parameters)
            restored = target.restore(
                restore_parameters(tmp_path / str(step), template.parameters),
                restore_optimizer(tmp_path / str(step), template.optimizer),
                1,
            )
            same = jax.tree.map(np.array_equal, jax.device_get(target.saved(restored)), jax.device_get(saved))
            assert all(jax.tree.leaves(same)), f"{name} to {other}"
            target.train_step(restored, batches(1)[0], jax.random.key(7))


def gathered_sizes(program: str) -> list[int]:
    """The number of values that each all-gather of a compiled program gathers."""
    results = re.findall(r" = (\S+|\(.*?\)) all-gather(?:-start)?\(", program)
    shapes = [shape for result in results for shape in re.findall(r"\[([\d,]+)\]", result)]
    return [math.prod(int(size) for size in shape.split(",")) for shape in shapes]


@pytest.mark.parametrize("precision", ["float32", "bfloat16_float32"])
def test_devices_that_hold_all_parameters_gather_nothing(precision):
    config = recipe(devices=MAPPINGS["data"])
    config = config.model_copy(update={"model": config.model.model_copy(update={"precision": precision})})
    strategy, _ = start(config)
    program = strategy.compile(abstract(config.model, VOCABULARY, VOCABULARY)[1], ROWS, LENGTH).as_text()
    assert "all-reduce" in program
    assert not gathered_sizes(program)


@pytest.mark.parametrize("devices", [MAPPINGS["fsdp"], DevicesConfig(data=2, fsdp=4)], ids=["fsdp", "data and fsdp"])
def test_fsdp_gathers_each_parameter_once_and_does_not_move_activations(devices):
    config = recipe(devices=devices)
    strategy, _ = start(config)
    shapes = abstract(config.model, VOCABULARY, VOCABULARY)[1]
    program = strategy.compile(shapes, ROWS, LENGTH).as_text()
    shared = [leaf.size for path, leaf in dict_path_leaves(shapes).items() if "fsdp" in parameter_spec("/".join(path))]
    assert sum(gathered_sizes(program)) == sum(shared) > 0
    assert not re.search("all-to-all|collective-permute", program)


EVERY_MAPPING = pytest.param(("data", "fsdp", "pmap"), marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("optimizer", ["adafactor", "schedule_free", "muon"])
@pytest.mark.parametrize("names", [("mixed",), EVERY_MAPPING], ids=["mixed", "others"])
def test_eight_devices_give_the_update_of_one_by_every_rule(optimizer, names):
    state, losses = fit(recipe(optimizer=optimizer), steps=6)
    for name in names:
        other, other_losses = fit(recipe(optimizer=optimizer, devices=MAPPINGS[name]), steps=6)
        np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
        assert_same_parameters(other, state)


@pytest.mark.parametrize(
    ("optimizer", "kernels_have", "others_have"), [("adamw", 2, 2), ("schedule_free", 2, 2), ("muon", 1, 2)]
)
def test_optimizer_state_has_the_sharding_of_its_parameter(optimizer, kernels_have, others_have):
    config = recipe(optimizer=optimizer, devices=DevicesConfig(data=2, fsdp=2, tensor=2))
    strategy, state = start(config)
    for _ in range(2):
        kept = dict.fromkeys(dict_path_leaves(state.parameters), 0)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.optimizer):
            if names := dict_path(path):
                parameter = dict_path_leaves(state.parameters)[names]
                assert leaf.shape == parameter.shape
                assert leaf.sharding.is_equivalent_to(parameter.sharding, leaf.ndim), names
                kept[names] += 1
        assert kept == {names: kernels_have if names[-1] == "kernel" else others_have for names in kept}
        state, _ = strategy.train_step(state, batches(1)[0], jax.random.key(7))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_resumed_from_its_checkpoint_equals_an_uninterrupted_one_bit_for_bit(optimizer, tmp_path):
    config = recipe(optimizer=optimizer, dropout=0.1, devices=DevicesConfig(data=2, fsdp=2, tensor=2))
    strategy, state = start(config)
    for step, batch in enumerate(batches(6)):
        if step == 3:
            with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes={}) as checkpointer:
                checkpointer.save(step, state.parameters, state.optimizer, progress={})
            losses = strategy.eval_step(state, batch)
        state, _ = strategy.train_step(state, batch, jax.random.key(7))

    template = strategy.template(abstract(config.model, VOCABULARY, VOCABULARY)[1])
    parameters = restore_parameters(tmp_path / "3", template.parameters)
    resumed = strategy.restore(parameters, restore_optimizer(tmp_path / "3", template.optimizer), 3)
    assert strategy.eval_step(resumed, batches(6)[3]).loss == losses.loss
    for batch in batches(6)[3:]:
        resumed, _ = strategy.train_step(resumed, batch, jax.random.key(7))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(resumed), jax.device_get(state))


def test_eight_devices_give_the_update_of_one_in_mixed_precision_too():
    def losses(devices):
        config = recipe(devices=devices)
        model = config.model.model_copy(update={"precision": "bfloat16_float32"})
        return fit(config.model_copy(update={"model": model}), steps=5)[1]

    np.testing.assert_allclose(losses(DevicesConfig(data=8)), losses(DevicesConfig(data=1)), rtol=1e-3)


@pytest.mark.parametrize("parts", [2, 8])
def test_accumulation_gives_the_update_of_the_large_batch(parts, one_device):
    state, losses = fit(recipe(accumulation=parts))
    np.testing.assert_allclose(losses, one_device[1], rtol=1e-5)
    assert_same_parameters(state, one_device[0])


def test_an_update_with_dropout_repeats_bit_for_bit_and_steps_differ():
    first, losses = fit(recipe(dropout=0.3), steps=3)
    again, _ = fit(recipe(dropout=0.3), steps=3)
    plain, _ = fit(recipe(dropout=0.0), steps=3)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    tables = [state.parameters["target_embedding"]["table"] for state in (first, plain)]
    assert not np.array_equal(*tables)
    assert len(set(losses)) == 3


def test_evaluation_ignores_padding_rows():
    config = recipe()
    graph, shapes = abstract(config.model, VOCABULARY, VOCABULARY)
    parameters = jax.tree.map(lambda x: 0.1 * jax.random.normal(jax.random.key(0), x.shape), shapes)
    strategy = STRATEGIES["mesh"](graph, config)
    state = strategy.init_state(parameters)
    batch = batches(1)[0]
    padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x)]), batch)
    sums, padded_sums = strategy.eval_step(state, batch), strategy.eval_step(state, padded)
    assert int(sums.tokens) == int((batch.target_segments != 0).sum())
    assert int(sums.tokens) == int(padded_sums.tokens)
    np.testing.assert_allclose(sums.loss, padded_sums.loss, rtol=1e-6)
    assert jnp.isfinite(sums.loss)


def layers_again(**model) -> Config:
    """The recipe with dropout and three layers on both sides."""
    config = recipe(dropout=0.1, learning_rate=0.001)
    layers = {"encoder_layers": 2, "decoder_layers": 2}
    return config.model_copy(update={"model": config.model.model_copy(update=layers | model)})


def test_computing_layers_again_gives_the_same_update():
    state, losses = fit(layers_again(positions="rotary"), steps=4)
    again, again_losses = fit(layers_again(positions="rotary", rematerialize=True), steps=4)
    np.testing.assert_allclose(again_losses, losses, rtol=1e-5)
    assert_same_parameters(again, state)


def test_back_propagation_keeps_less_than_half_where_layers_are_computed_again():
    """Counts what JAX keeps for the backward pass, parameters included. XLA for CPUs may still ignore the choice."""

    def kept(config):
        graph, parameters = abstract(config.model, VOCABULARY, VOCABULARY)
        batch = jax.tree.map(jnp.asarray, batches(1)[0])

        def loss(parameters):
            key = DropoutKey(jax.random.key(7))
            return cross_entropy(merge(graph, parameters), batch, config.training, key).loss

        backward = jax.eval_shape(lambda parameters: jax.vjp(loss, parameters)[1], parameters)
        return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(backward))

    assert kept(layers_again(rematerialize=True)) < kept(layers_again()) / 2
