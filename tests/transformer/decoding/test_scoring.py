"""Forced scoring against search and training, and attention against a known alignment."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data.batch import BOS, EOS, PAD, UNK, Batch, TokenPair
from data.batching.layout import make_batch
from data.errors import InputError
from dragoman.translation.alignment import AlignmentLayer, Link, align_words, choose_layer, usual_alignment_layer
from tests.transformer.model.test_encoder_decoder import ARCHITECTURES, VOCABULARY, build
from transformer.config import DecodingConfig, ModelConfig, TrainingConfig
from transformer.decoding import SearchPlan
from transformer.decoding.batches import in_order
from transformer.decoding.ensemble import Ensemble
from transformer.decoding.request import make_request
from transformer.decoding.scoring import ForcedPair, attend_pairs, forced_pair, longest_side, score_pairs
from transformer.decoding.searcher import search_sentences
from transformer.model import Parameters, merge, split
from transformer.model.attention import KeysValues, attend, attention_weights
from transformer.model.masks import CausalMask
from transformer.training.cross_entropy import cross_entropy
from transformer.training.optimizer import build_optimizer
from transformer.training.placement import OneDevice
from transformer.training.step import TrainState, build_train_step

LONGEST = 40
ROWS = 8
STEPS = 300
CONFIG = ModelConfig(
    encoder_layers=1,
    decoder_layers=2,
    width=32,
    heads=2,
    feed_forward=48,
    maximum_length=LONGEST,
    tied="none",
    precision="float32",
)


@functools.cache
def model(config: ModelConfig = CONFIG) -> tuple[nnx.GraphDef, Parameters]:
    """Random weights, larger than initial ones, especially for EOS, so that outputs differ and end."""
    graph, parameters = split(build(config))
    parameters = jax.tree.map(lambda x: x * 3.0 if x.ndim > 1 else x, parameters)
    if config.tied == "none":
        table = parameters["output_embedding"]["table"]
        parameters["output_embedding"]["table"] = table.at[EOS].multiply(2.0)
    return graph, parameters


def sentences(count: int, longest: int, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, longest, count, endpoint=True)
    return [generator.integers(4, VOCABULARY, length).tolist() for length in lengths]


def random_pairs(count: int = 20, seed: int = 0) -> list[ForcedPair]:
    sources, targets = sentences(count, LONGEST - 1, seed), sentences(count, LONGEST - 1, seed + 1)
    return [forced_pair([*source, EOS], target) for source, target in zip(sources, targets, strict=True)]


def scores(pairs: list[ForcedPair], config: ModelConfig = CONFIG, rows: int = ROWS) -> list[np.ndarray]:
    found = score_pairs(*model(config), pairs, rows=rows, maximum_length=config.maximum_length)
    return in_order(found, len(pairs))


def attention(pairs: list[ForcedPair], layer: int, config: ModelConfig = CONFIG) -> list[np.ndarray]:
    found = attend_pairs(*model(config), pairs, layer=layer, rows=ROWS, maximum_length=config.maximum_length)
    return in_order(found, len(pairs))


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [1, 4])
def test_the_forced_score_of_a_hypothesis_is_its_score_in_search(beam):
    sources = [[*source, EOS] for source in sentences(24, LONGEST - 1, seed=5)]
    decoding = DecodingConfig(beam=beam, rows=ROWS, maximum_ratio=1.0, maximum_extra=4)
    pairs, expected = [], []
    plan = SearchPlan(decoding, maximum_length=LONGEST, keep=beam)
    requests = [make_request(plan, source) for source in sources]
    for indices, rows in search_sentences(Ensemble.of(model()), requests, plan):
        for index, hypotheses in zip(indices, rows, strict=True):
            for found in hypotheses:
                pairs.append(forced_pair(sources[index], found.tokens, is_finished=found.is_finished))
                expected.append(found.log_probability)
    assert {pair.labels[-1] == EOS for pair in pairs} == {True, False}
    assert [float(row.sum()) for row in scores(pairs)] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda c: f"{c.positions}-{c.norm_position}-{c.tied}")
def test_the_sum_of_scores_is_the_loss_of_training_without_smoothing(config):
    pairs = [TokenPair([5, 6, 7, EOS], [8, 9, 10]), TokenPair([17, EOS], [18] * 20)]
    batch: Batch = make_batch([[pair] for pair in pairs], source_length=24, target_length=24, rows_count=2)
    training = TrainingConfig(label_smoothing=0.0)
    sums = cross_entropy(merge(*model(config)), jax.tree.map(jnp.asarray, batch), training)
    found = scores([forced_pair(*pair) for pair in pairs], config)
    assert [len(row) for row in found] == [4, 21]
    assert -sum(float(row.sum()) for row in found) == pytest.approx(float(sums.loss), rel=1e-5)


def test_neighbours_and_order_change_no_bit_of_a_score_or_of_attention():
    pairs = random_pairs()
    expected, looked = scores(pairs), attention(pairs, layer=1)
    order = np.random.default_rng(1).permutation(len(pairs))
    shuffled = [pairs[place] for place in order]
    for place, row, weights in zip(order, scores(shuffled), attention(shuffled, layer=1), strict=True):
        np.testing.assert_array_equal(row, expected[place])
        np.testing.assert_array_equal(weights, looked[place])
    for place in range(0, len(pairs), 5):
        np.testing.assert_array_equal(scores([pairs[place]])[0], expected[place])
        np.testing.assert_array_equal(attention([pairs[place]], layer=1)[0], looked[place])


def test_every_token_has_its_share_of_probability_special_ones_too():
    pairs = [ForcedPair([5, 6, EOS], [8, token]) for token in range(VOCABULARY)]
    last = [float(row[1]) for row in scores(pairs)]
    assert np.exp(last).sum() == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite([last[token] for token in (PAD, UNK, BOS)]).all()


def test_the_shortest_and_the_longest_pairs_are_scored():
    full = [*sentences(1, 1, seed=0)[0], *[9] * LONGEST][:LONGEST]
    pairs = [ForcedPair([EOS], [EOS]), ForcedPair([EOS], []), ForcedPair(full, full)]
    assert [len(row) for row in scores(pairs)] == [1, 0, LONGEST]
    assert [longest_side(pair) for pair in pairs] == [1, 1, LONGEST]
    assert scores([]) == []


def test_a_pair_that_is_too_long_is_refused_with_its_place():
    pairs = [ForcedPair([5, EOS], [8, EOS]), ForcedPair([5, EOS], [8] * LONGEST + [EOS])]
    message = "pair 2 of 2 has 2 source and 41 target tokens with EOS: the model takes at most 40 on a side"
    with pytest.raises(InputError, match=message):
        scores(pairs)


def test_damaged_parameters_are_refused():
    graph, parameters = model()
    damaged = jax.tree.map(lambda x: x * np.nan, parameters)
    with pytest.raises(InputError, match="the model gives no finite score: its parameters are damaged"):
        list(score_pairs(graph, damaged, random_pairs(1), rows=ROWS, maximum_length=LONGEST))


# --- attention -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_those_that_attention_gives_the_values(dtype):
    """With one-hot values, attention returns its weights."""
    query, key = (jax.random.normal(jax.random.key(n), (2, 4, 6, 6)).astype(dtype) for n in range(2))
    source = KeysValues(key.swapaxes(2, 3), jnp.broadcast_to(jnp.eye(6, dtype=dtype)[None, None], (2, 4, 6, 6)))
    mask = CausalMask(jnp.array([[1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1]]))
    weights = attention_weights(query, source, mask, None)
    attended = attend(query, source, mask)
    tolerance = 1e-6 if dtype == "float32" else 0.01
    np.testing.assert_allclose(weights, attended.astype(jnp.float32), atol=tolerance)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda c: f"{c.positions}-{c.norm_position}-{c.tied}")
def test_attention_sums_to_one_over_the_source_and_ignores_the_future(config):
    pairs = [ForcedPair([5, 6, 7, EOS], [8, 9, 10, 11, EOS]), ForcedPair([5, 6, 7, EOS], [8, 9, 30, 31, 32, EOS])]
    first, second = attention(pairs, layer=0, config=config)
    assert first.shape == (5, 4)
    np.testing.assert_allclose(first.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(first[:3], second[:3])
    assert np.abs(first[3] - second[3]).max() > 1e-4


@pytest.mark.slow
def test_a_model_that_reverses_letters_looks_at_the_letter_that_it_writes():
    """After training for seconds on random letters, the usual layer's attention gives the known alignment."""
    letters = range(4, 14)
    generator = np.random.default_rng(0)

    def draw(count: int) -> list[TokenPair]:
        rows = [generator.choice(letters, generator.integers(1, 6, endpoint=True)).tolist() for _ in range(count)]
        return [TokenPair([*row, EOS], row[::-1]) for row in rows]

    config = CONFIG.model_copy(update={"decoder_layers": 1, "dropout": 0.0})
    training = TrainingConfig(learning_rate=0.01, warmup_steps=50, schedule="cosine", steps=STEPS, label_smoothing=0.0)
    graph, parameters = split(build(config))
    step = jax.jit(build_train_step(graph, training, build_optimizer(training), OneDevice()))
    state = TrainState(parameters, build_optimizer(training).init(parameters), jnp.int32(0))
    for _ in range(STEPS):
        rows = [[pair] for pair in draw(64)]
        batch = make_batch(rows, source_length=8, target_length=8, rows_count=64)
        state, metrics = step(state, batch, jax.random.key(0))
    assert float(metrics.loss) < 0.1

    pairs = draw(50)
    reference = [[(len(pair.target) - 1 - place, place) for place in range(len(pair.target))] for pair in pairs]

    def align(choice: AlignmentLayer) -> list[list[Link]]:
        batches = attend_pairs(
            graph,
            state.parameters,
            [forced_pair(*pair) for pair in pairs],
            layer=choice.layer,
            rows=ROWS,
            maximum_length=LONGEST,
        )
        words = [range(len(pair.target)) for pair in pairs]
        weights = in_order(batches, len(pairs))
        return [align_words(row, one, one, shift=choice.shift) for row, one in zip(weights, words, strict=True)]

    best, agreement = choose_layer(align, 1, reference)
    assert best == usual_alignment_layer(1)
    assert agreement[best] > 0.9
