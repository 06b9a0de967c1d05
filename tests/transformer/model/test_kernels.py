"""Library kernels get segments in the form that each library documents, and only updates use them."""

import re
import sys
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax._src.cudnn import fused_attention_stablehlo

from data.batch import EOS, TokenPair
from data.batching.layout import make_batch
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices import STRATEGIES
from transformer.devices.agreement import Size, build_trial, disagreement
from transformer.model import abstract, build, split
from transformer.model.kernels import KERNELS, PLATFORMS, Kernel, cudnn, offsets_and_lengths, resolve_kernel
from transformer.model.masks import SegmentMask


def undefined_gradient(x, is_defined):
    """`x`, whose gradient is NaN where cuDNN does not write it."""

    @jax.custom_vjp
    def same(x):
        return x

    same.defvjp(lambda x: (x, None), lambda _, gradient: (jnp.where(is_defined, gradient, jnp.nan),))
    return same(x)


def segment_numbers(offsets, lengths, length):
    """The segment of each position, and its place in it, as JAX documents them; -1 between segments."""
    place = jnp.arange(length)[None, :, None] - offsets[:, None, :-1]
    inside = (offsets[:, None, :-1] >= 0) & (place >= 0) & (place < lengths[:, None])
    number = jnp.where(inside.any(-1), jnp.argmax(inside, -1), -1)
    return number, jnp.where(inside, place, 0).sum(-1)


def packed_attention(query, key, value, *, q_seqlen, kv_seqlen, q_offsets, kv_offsets, scale, mask_type, qkv_layout):
    """cuDNN's attention over packed segments as JAX documents it, with NaN for undefined values."""
    assert qkv_layout == "BTNH"
    queries, times = segment_numbers(q_offsets, q_seqlen, query.shape[1])
    keys, places = segment_numbers(kv_offsets, kv_seqlen, key.shape[1])
    visible = (queries[:, :, None] == keys[:, None]) & (queries >= 0)[:, :, None]
    if mask_type == fused_attention_stablehlo.MaskType.CAUSAL:
        visible &= places[:, None] <= times[:, :, None]
    query = undefined_gradient(query, (queries >= 0)[:, :, None, None])
    key, value = (undefined_gradient(x, (keys >= 0)[:, :, None, None]) for x in (key, value))
    scores = jnp.einsum("BTNH,BSNH->BNTS", query, key, preferred_element_type=jnp.float32) * scale
    weights = jax.nn.softmax(jnp.where(visible[:, None], scores, -1e30), axis=-1)
    attended = jnp.einsum("BNTS,BSNH->BTNH", weights.astype(value.dtype), value)
    return jnp.where((queries >= 0)[:, :, None, None], attended, jnp.nan)


def test_segments_become_offsets_and_lengths():
    segments = jnp.array([[1, 1, 2, 2, 2, 0, 0], [0] * 7, [1] * 7], jnp.int32)
    offsets, lengths = offsets_and_lengths(segments, 3)
    assert offsets.tolist() == [[0, 2, -1, -1], [-1, -1, -1, -1], [0, -1, -1, -1]]
    assert lengths.tolist() == [[2, 3, -1], [-1, -1, -1], [7, -1, -1]]


def test_cudnn_gets_segments_so_that_what_it_leaves_undefined_reaches_nothing(monkeypatch):
    """cuDNN itself is not available here. A function that follows JAX's documentation replaces it."""
    monkeypatch.setattr(fused_attention_stablehlo, "dot_product_attention", packed_attention)
    assert disagreement(cudnn, build_trial(Size(heads=2, width=8, source_length=16, target_length=24))) is None


def test_more_segments_than_pairs_can_have_give_nan_and_not_a_wrong_result(monkeypatch):
    monkeypatch.setattr(fused_attention_stablehlo, "dot_product_attention", packed_attention)
    segments = jnp.array([[1, 2, 3, 4, 5, 0, 0, 0], [1, 1, 2, 2, 3, 3, 4, 4]], jnp.int32)
    x = jnp.ones((2, 1, 8, 8))
    attended = cudnn(x, x, x, SegmentMask(segments, segments), None)
    assert jnp.isnan(attended[0]).all()
    assert jnp.isfinite(attended[1]).all()


def test_what_a_library_does_not_support_is_rejected_in_one_line(monkeypatch):
    trial = build_trial(Size(heads=1, width=8, source_length=16, target_length=16))
    assert disagreement(cudnn, trial) == "RuntimeError: cuDNN is not detected."
    monkeypatch.delattr(fused_attention_stablehlo, "MaskType")
    assert disagreement(cudnn, trial).startswith("AttributeError: module 'jax._src.cudnn.fused_attention_stablehlo'")
    for name in ("tokamax", "tokamax._src.ops.attention"):
        monkeypatch.setitem(sys.modules, name, None)
    line = disagreement(KERNELS["triton"], trial)
    assert line.startswith("NotImplementedError: ")
    assert re.search(r"\(pip install 'tokamax(>=[\d.]+)?'\)$", line)


def test_the_knob_and_the_tables_name_the_same_kernels():
    knob = get_args(ModelConfig.model_fields["attention_kernel"].annotation)
    assert set(knob) == {"auto", "xla", *KERNELS}
    assert set(get_args(Kernel)) == {"xla", *KERNELS}
    assert PLATFORMS.keys() == KERNELS.keys()
    assert {resolve_kernel(name) for name in knob} == {"xla"}, "on a CPU"


def recipe(**model) -> Config:
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16}
    return Config(model=ModelConfig(**sizes, dropout=0.0, **model), devices=DevicesConfig(data=1))


def test_updates_compute_by_the_kernel_and_validation_does_not(monkeypatch):
    monkeypatch.setitem(PLATFORMS, "triton", ("cpu",))
    monkeypatch.setitem(KERNELS, "triton", lambda query, key, value, mask, bias: jnp.zeros_like(query))
    pair = TokenPair([4, 5, 6, EOS], [7, 8, 9])
    batch = make_batch([[pair, pair]], source_length=8, target_length=8, rows_count=1)

    def losses(config):
        graph, parameters = split(build(config.model, source_vocabulary=16, target_vocabulary=16, rngs=nnx.Rngs(0)))
        strategy = STRATEGIES["mesh"](graph, config)
        state = strategy.init_state(parameters)
        validated = strategy.eval_step(state, batch).loss
        return strategy.train_step(state, batch, jax.random.key(0))[1].loss, validated

    by_xla, by_kernel = losses(recipe(attention_kernel="xla")), losses(recipe(attention_kernel="triton"))
    assert np.abs(by_xla[0] - by_kernel[0]) > 0.001
    assert by_xla[1] == by_kernel[1]


def test_the_model_that_searches_and_scores_is_the_same_whatever_kernel_updates_use():
    graphs = [abstract(recipe(attention_kernel=kernel).model, 16, 16)[0] for kernel in ("xla", "cudnn")]
    assert graphs[0] == graphs[1]
