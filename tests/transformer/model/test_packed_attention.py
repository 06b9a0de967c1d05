"""The kernel for packed rows, in an interpreter, agrees with our own attention, in rows of one block and of several."""

import re

import jax
import jax.numpy as jnp
import pytest

from transformer.devices.agreement import Size, build_trial, disagreement
from transformer.model import packed_attention as calls
from transformer.model import packed_attention_kernels as kernels
from transformer.model.masks import CausalMask, CrossMask, SelfMask
from transformer.model.packed_attention import block_length, filled_up, packed_attention, side_by_side


@pytest.mark.parametrize(
    "size",
    [
        Size(heads=2, width=16, source_length=32, target_length=16),
        Size(heads=1, width=32, source_length=24, target_length=40),  # not powers of two
    ],
)
def test_the_kernel_agrees_with_our_own_attention_in_result_and_gradients(size):
    assert disagreement(packed_attention, build_trial(size)) is None


def test_rows_of_several_blocks_agree_too(monkeypatch):
    monkeypatch.setattr(calls, "BLOCK", 16)
    assert disagreement(packed_attention, build_trial(Size(1, 16, source_length=48, target_length=40))) is None


def test_a_kernel_that_loses_a_block_of_keys_is_refused(monkeypatch):
    """The trial's rows reach every block."""
    monkeypatch.setattr(calls, "BLOCK", 16)
    monkeypatch.setattr(kernels, "loop", lambda count, body, start: body(0, start))
    line = disagreement(packed_attention, build_trial(Size(1, 16, source_length=48, target_length=40)))
    assert line is not None
    assert line.startswith("the result of self-attention ")


def test_a_block_is_a_power_of_two_and_rows_are_filled_up_to_it():
    assert [block_length(length) for length in (3, 16, 40, 64, 100, 500)] == [16, 16, 64, 64, 128, 128]
    assert filled_up(jnp.ones((1, 3)), 4, -1).tolist() == [[1, 1, 1, -1]]
    assert filled_up(jnp.ones((1, 4)), 4, -1).tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("width", "length", "bias", "message"),
    [
        (16, 16, jnp.zeros((1, 1, 16, 16)), "adds no bias to scores"),
        (24, 16, None, "has heads of 16, 32, 64 or 128 features, not 24"),
        (16, 1025, None, "takes up to 1024 tokens a row, not 1025"),
    ],
)
def test_what_the_kernel_does_not_compute_is_refused_by_name(width, length, bias, message):
    x, segments = jnp.ones((1, 1, length, width), jnp.bfloat16), jnp.ones((1, length), jnp.int32)
    with pytest.raises(NotImplementedError, match=message):
        packed_attention(x, x, x, SelfMask(segments), bias)


def test_a_query_without_keys_has_finite_results_and_gives_no_gradient():
    """A target's padding, where the source has none."""
    queries, keys = jnp.array([[1, 1, 0, 0]], jnp.int32), jnp.ones((1, 4), jnp.int32)
    x = jax.random.normal(jax.random.key(0), (1, 1, 4, 16), jnp.bfloat16)

    def at_padding(key, value):
        return packed_attention(x, key, value, CrossMask(queries, keys), None)[:, :, 2:].astype(jnp.float32).sum()

    result, gradients = jax.value_and_grad(at_padding, (0, 1))(x, x)
    assert jnp.isfinite(result)
    assert all((gradient == 0).all() for gradient in gradients)


def test_the_future_changes_nothing():
    segments = jnp.ones((1, 8), jnp.int32)
    x = jax.random.normal(jax.random.key(0), (1, 1, 8, 16), jnp.bfloat16)
    changed = x.at[:, :, 5:].add(1)
    results = [packed_attention(y, y, y, CausalMask(segments), None)[:, :, :5] for y in (x, changed)]
    assert (results[0] == results[1]).all()


def test_the_outputs_of_one_product_are_put_side_by_side_without_a_copy():
    """Neither are their gradients."""

    def joined(product):
        return side_by_side(*(x.reshape(4, 8, 2, 16).swapaxes(1, 2) for x in jnp.split(product, 3, axis=1)))

    def gradient(product, of_joined):
        return jax.vjp(joined, product)[1](of_joined)

    product = jnp.arange(32.0 * 96).reshape(32, 96)
    assert (joined(product) == product.reshape(4, 8, 3, 2, 16)).all()
    programs = (jax.jit(joined).lower(product), jax.jit(gradient).lower(product, joined(product)))
    for program in programs:
        assert "concatenate" in program.as_text()
        assert not re.search("concatenate|slice|pad|transpose|fusion", operations(program.compile().as_text()))


def operations(program: str) -> str:
    """The lines of an optimised program's only computation, without what they say of their source."""
    return re.sub("metadata=.*", "", program[program.index("ENTRY") :])
