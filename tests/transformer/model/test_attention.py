"""Our attention and its gradient against the library's, and the random bits of dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.model.attention import KeysValues, attend
from transformer.model.dropout import WITHIN, DropoutKey, dropout, dropout_sites, fold_site, site_within
from transformer.model.masks import AncestorMask, CausalMask, CrossMask, SelfMask

SEGMENTS = jnp.array([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]])


def tensors(*shapes: tuple[int, ...]) -> list[jax.Array]:
    return [jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate(shapes)]


@pytest.mark.parametrize("mask", [CausalMask(SEGMENTS), SelfMask(SEGMENTS)], ids=["causal", "all"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_and_its_gradients_are_those_of_the_library(mask, with_bias):
    query, key, value, weight = tensors(*[(2, 4, 6, 8)] * 4)
    bias = tensors((2, 4, 6, 6))[0] if with_bias else None

    def ours(query, key, value, bias):
        return jnp.sum(attend(query, KeysValues(key.swapaxes(2, 3), value), mask, bias=bias) * weight)

    def library(query, key, value, bias):
        query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
        attended = jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask.visible())
        return jnp.sum(attended.swapaxes(1, 2) * weight)

    arguments = (0, 1, 2, 3) if with_bias else (0, 1, 2)
    found = jax.value_and_grad(ours, arguments)(query, key, value, bias)
    expected = jax.value_and_grad(library, arguments)(query, key, value, bias)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)


def test_attention_and_its_gradients_in_bfloat16_are_close_to_float32():
    query, key, value, weight = tensors(*[(2, 4, 6, 8)] * 4)

    def loss(query, key, value):
        attended = attend(query, KeysValues(key.swapaxes(2, 3), value), SelfMask(SEGMENTS))
        assert attended.dtype == query.dtype
        return jnp.sum(attended.astype(jnp.float32) * weight)

    exact = jax.grad(loss, (0, 1, 2))(query, key, value)
    rounded = jax.grad(loss, (0, 1, 2))(*(x.astype(jnp.bfloat16) for x in (query, key, value)))
    for found, expected in zip(rounded, exact, strict=True):
        assert found.dtype == jnp.bfloat16
        assert 0 < np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = jnp.ones((64, 64, 128))
    dropped = np.asarray(dropout(x, 0.3, dropout_sites(DropoutKey(jax.random.key(1)), 1)))
    assert abs((dropped == 0).mean() - 0.3) < 4 * (0.21 / x.size) ** 0.5
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.7, rtol=1e-6)


def test_random_bits_of_dropout_are_independent_of_each_other_and_of_other_keys():
    x = jnp.ones((256, 1024))
    bits = [np.asarray(dropout(x, 0.5, dropout_sites(DropoutKey(jax.random.key(seed)), 1))) != 0 for seed in (1, 2)]
    limit = 5 * 0.5 / x.size**0.5
    assert abs((bits[0] == bits[1]).mean() - 0.5) < limit
    for shift in (1, 2, 3, 64, 1024):
        flat = bits[0].ravel()
        assert abs((flat[shift:] == flat[:-shift]).mean() - 0.5) < limit
    assert np.abs(bits[0].mean(0) - 0.5).max() < 6 * 0.5 / 256**0.5


def test_a_site_has_the_random_words_of_its_key_folded_with_its_number():
    key = DropoutKey(jax.random.key(3), part=2).fold_slice(1)
    sites = dropout_sites(key, 5)
    for number in range(5):
        site, own = fold_site(sites, number), jax.random.fold_in(key.key, number)
        np.testing.assert_array_equal(site.words[site.row], jax.random.bits(own, (2,), jnp.uint32))
        for part in range(WITHIN):
            inner, expected = site_within(site, part), jax.random.bits(jax.random.fold_in(own, part), (2,), jnp.uint32)
            np.testing.assert_array_equal(inner.words[inner.row], expected)
            assert inner.part == 2
    assert dropout_sites(None, 5) is fold_site(None, 1) is site_within(None, 1) is None


def drawn(mask) -> list[str]:
    return ["".join("x" if seen else "." for seen in row) for row in mask.visible()[0, 0]]


def test_masks_are_those_drawn_in_their_docstrings():
    segments = jnp.array([[1, 1, 2, 2, 0]])
    assert drawn(SelfMask(segments)) == ["xx...", "xx...", "..xx.", "..xx.", "....x"]
    assert drawn(CausalMask(segments)) == ["x....", "xx...", "..x..", "..xx.", "....x"]


def rows_of_segments(rows: int, length: int, seed: int) -> np.ndarray:
    """Rows as in packing: consecutive sentences, then padding. The first row is empty, the second full."""
    generator = np.random.default_rng(seed)
    segments = np.zeros((rows, length), np.int32)
    for row in range(1, rows):
        ends = np.sort(generator.integers(1, length + 1, 3)) if row > 1 else np.array([2, 5, length])
        for segment, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
            segments[row, start:end] = segment
    return segments


@pytest.mark.parametrize("lengths", [(9, 9), (7, 11), (11, 7)])
def test_no_query_is_without_a_key_and_real_tokens_see_their_own_sentence_only(lengths):
    query, key = (jnp.asarray(rows_of_segments(6, length, seed=length)) for length in lengths)
    query = jnp.minimum(query, key.max(1, keepdims=True))  # no sentence has a target without a source
    masks = [CrossMask(query, key), SelfMask(key), CausalMask(key)]
    for mask in masks:
        visible, segments = np.asarray(mask.visible()[:, 0]), np.asarray(mask[0])
        assert visible.any(-1).all()
        same = segments[..., None] == np.asarray(mask[-1])[:, None]
        assert not (visible & ~same)[segments > 0].any()


def test_the_mask_of_ancestors_shows_each_hypothesis_its_own_past():
    """The example of the docstring, and its second row at an earlier position."""
    ancestors = jnp.array([[[0, 0, 0], [0, 1, 1]]])
    assert drawn(AncestorMask(ancestors, jnp.array([2]))) == ["x.x.x.", "x..x.x"]
    assert not AncestorMask(ancestors, jnp.array([1])).visible()[0, 0, :, 4:].any()
