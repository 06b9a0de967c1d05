"""The loss against values worked out on paper, and the chunked form against the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.training import chunks
from transformer.training.loss import chunked_loss, plain_loss, smoothed_cross_entropy


def inputs(rows: int, length: int, vocabulary: int = 50, width: int = 16):
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (rows, length, width))
    table = jax.random.normal(keys[1], (vocabulary, width))
    labels = jax.random.randint(keys[2], (rows, length), 0, vocabulary)
    weights = jax.random.bernoulli(keys[3], 0.7, (rows, length)).astype(jnp.float32)
    return hidden, table, labels, weights


def test_two_equal_logits_cost_log_two_and_smoothing_adds_nothing():
    logits, labels = jnp.zeros((1, 2)), jnp.array([1])
    np.testing.assert_allclose(smoothed_cross_entropy(logits, labels, 0.0), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(smoothed_cross_entropy(logits, labels, 0.2), np.log(2), rtol=1e-6)


def test_smoothing_spreads_over_the_whole_vocabulary_label_included():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    wanted = np.array([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    by_hand = -(wanted * np.log([0.7, 0.2, 0.1])).sum()
    np.testing.assert_allclose(smoothed_cross_entropy(logits, jnp.array([0]), 0.1), [by_hand], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("rows", "length"), [(3, 8), (40, 12), (600, 3), (2, 7)])
def test_the_chunked_loss_and_its_gradients_equal_the_plain_ones(rows, length, smoothing, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TOKENS", 64)
    hidden, table, labels, weights = inputs(rows, length)

    def chunked(hidden, table):
        return chunked_loss(hidden, table, labels, weights, smoothing, "float32", 50)

    def plain(hidden, table):
        return plain_loss(hidden, table, labels, weights, smoothing=smoothing, vocabulary=50)

    value, gradients = jax.jit(jax.value_and_grad(chunked, argnums=(0, 1)))(hidden, table)
    expected, expected_gradients = jax.value_and_grad(plain, argnums=(0, 1))(hidden, table)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(chunked(hidden, table), expected, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=2e-4, rtol=1e-4)


def test_few_logits_exist_at_a_time(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TOKENS", 64)
    assert chunks._chunk_count(40, 16) == 16  # one position of each row
    assert chunks._chunk_count(8, 16) == 2


def test_tokens_without_weight_have_no_gradient():
    hidden, table, labels, weights = inputs(4, 8)
    gradient = jax.grad(lambda h: chunked_loss(h, table, labels, weights, 0.1, "float32", 50))(hidden)
    assert np.abs(gradient[weights == 0]).max() == 0
    assert (np.abs(gradient[weights == 1]).max(axis=-1) > 0).all()


@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16_float32"])
def test_the_loss_in_lower_precision_is_close_to_float32(precision):
    hidden, table, labels, weights = inputs(8, 8)
    exact = chunked_loss(hidden, table, labels, weights, 0.1, "float32", 50)
    loss = jax.jit(jax.value_and_grad(lambda h: chunked_loss(h, table, labels, weights, 0.1, precision, 50)))
    rounded, gradient = loss(hidden)
    np.testing.assert_allclose(rounded, exact, rtol=0.02)
    assert np.isfinite(gradient).all()
