"""Attention kernels: one that disagrees is rejected in one line, and the first of the others is chosen."""

import re
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.errors import InputError
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices import agreement
from transformer.devices.agreement import (
    Side,
    Size,
    build_trial,
    disagreement,
    results_and_gradients,
    row_segments,
    xla,
)
from transformer.devices.kernels import build_trials, candidate_kernels, choose_kernel, first_that_agrees, refusal
from transformer.model.kernels import KERNELS, PLATFORMS
from transformer.model.masks import CausalMask, CrossMask, SelfMask

SHAPES = [(2, 16, 24), (3, 16, 16)]
OFF = r"^{} is off by [\d.e+]+ where scores are \w+; rounding allows [\d.e+-]+$"


def recipe(**model) -> Config:
    return Config(model=ModelConfig(**{"width": 16, "heads": 2, "precision": "bfloat16", **model}))


@pytest.fixture(scope="module")
def trial():
    return build_trial(Size(heads=2, width=8, source_length=16, target_length=24))


def without_mask(query, key, value, mask, bias):
    everywhere = CrossMask(*(jnp.ones((x.shape[0], x.shape[2]), jnp.int32) for x in (query, key)))
    return xla(query, key, value, everywhere, bias)


def without_the_future_hidden(query, key, value, mask, bias):
    mask = SelfMask(mask.segments) if isinstance(mask, CausalMask) else mask
    return xla(query, key, value, mask, bias)


def nan_at_padding(query, key, value, mask, bias):
    segments = mask[0]
    return jnp.where((segments != 0)[:, None, :, None], xla(query, key, value, mask, bias), jnp.nan)


def nan_in_gradients_of_large_scores(query, key, value, mask, bias):
    @jax.custom_vjp
    def scores_survive(x):
        return x

    is_large = jnp.abs(query).max() > 50
    scores_survive.defvjp(lambda x: (x, None), lambda _, gradient: (jnp.where(is_large, jnp.nan, gradient),))
    return xla(scores_survive(query), key, value, mask, bias)


def wrong_gradient_of_keys(query, key, value, mask, bias):
    @jax.custom_vjp
    def smaller_gradient(x):
        return x

    smaller_gradient.defvjp(lambda x: (x, None), lambda _, gradient: (0.8 * gradient,))
    return xla(query, smaller_gradient(key), value, mask, bias)


def wrong_beside_empty_rows(query, key, value, mask, bias):
    is_empty = (mask[0] == 0).all(1)
    is_beside = jnp.roll(is_empty, 1) | jnp.roll(is_empty, -1)
    result = xla(query, key, value, mask, bias)
    return jnp.where(is_beside[:, None, None, None], 1.1 * result, result)


def unwilling(query, key, value, mask, bias):
    raise NotImplementedError("Only even heads are supported.\nA second line.")


def overflowing(query, key, value, mask, bias):
    """A softmax that does not subtract the maximum."""
    scores = jnp.einsum("BNTH,BNSH->BNTS", query, key).astype(jnp.float32) * query.shape[-1] ** -0.5
    exponents = jnp.where(mask.visible(), jnp.exp(scores), 0)
    weights = exponents / exponents.sum(-1, keepdims=True)
    return jnp.einsum("BNTS,BNSH->BNTH", weights.astype(value.dtype), value)


def test_our_own_attention_agrees_with_itself(trial):
    assert disagreement(xla, trial) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (without_mask, OFF.format("the result of self-attention")),
        (without_the_future_hidden, OFF.format("the result of causal self-attention")),
        (nan_at_padding, r"^the result of self-attention is not finite in [\d,]+ of [\d,]+ values$"),
        (nan_in_gradients_of_large_scores, r"^the gradient of queries of \w+-attention is not finite in"),
        (wrong_gradient_of_keys, OFF.format("the gradient of keys of self-attention")),
        (wrong_beside_empty_rows, OFF.format("the result of self-attention")),
        (unwilling, r"^NotImplementedError: Only even heads are supported\.$"),
        (overflowing, r"^the result of self-attention is not finite in"),
    ],
)
def test_a_wrong_kernel_is_rejected_with_the_reason(trial, wrong, message):
    line = disagreement(wrong, trial)
    assert line is not None
    assert re.search(message, line), line


def test_rows_of_a_trial_hold_sentences_padding_nothing_and_no_padding(trial):
    assert row_segments(8, 2, 0.8).tolist() == [1, 1, 1, 1, 2, 2, 0, 0]
    for side in (trial.source, trial.target):
        filled = (side.segments != 0).mean(axis=1)
        assert (filled == 0).any()
        assert (filled == 1).any()
        assert ((filled > 0) & (filled < 1)).any()
        assert (side.segments.max(axis=1) > 1).any()
    scores = jnp.einsum("BNTH,BNSH->BNTS", trial.source.query, trial.source.key) * 8**-0.5
    assert jnp.abs(scores).max() > 100


@pytest.fixture
def kernels_of_this_machine(monkeypatch):
    """Replaces or adds kernels, as if these functions were kernels for CPUs."""

    def replace(**functions):
        for name, function in functions.items():
            monkeypatch.setitem(KERNELS, name, function)
            monkeypatch.setitem(PLATFORMS, name, ("cpu",))

    return replace


def test_what_disagrees_is_refused_in_a_line_and_the_first_of_the_others_is_chosen(kernels_of_this_machine):
    kernels_of_this_machine(pallas=without_mask, unwilling=unwilling, ours=xla, last=xla)
    names = ("pallas", "unwilling", "ours", "last")
    choice = first_that_agrees(names, build_trials(recipe(), SHAPES))
    assert choice[:2] == ("ours", "it agrees with xla on rows like the run's")
    assert [line.partition(":")[0] for line in choice.refused] == ["pallas is refused", "unwilling is refused"]
    assert choice.refused[1] == "unwilling is refused: NotImplementedError: Only even heads are supported."


def test_where_nothing_agrees_our_own_attention_computes(kernels_of_this_machine):
    kernels_of_this_machine(pallas=nan_at_padding)
    choice = choose_kernel(recipe(), SHAPES)
    assert choice[:2] == ("xla", "no other kernel agrees with it")
    assert len(choice.refused) == 1


def test_a_kernel_requested_by_name_must_agree(kernels_of_this_machine):
    kernels_of_this_machine(pallas=xla)
    assert choose_kernel(recipe(attention_kernel="pallas"), SHAPES) is None
    kernels_of_this_machine(pallas=wrong_gradient_of_keys)
    message = r'^model.attention_kernel is "pallas", but pallas is refused: the gradient of keys .*: set it to "xla"$'
    with pytest.raises(InputError, match=message):
        choose_kernel(recipe(attention_kernel="pallas"), SHAPES)


def test_without_an_accelerator_there_is_no_choice():
    assert choose_kernel(recipe(), SHAPES) is None
    assert choose_kernel(recipe(attention_kernel="xla"), SHAPES) is None


def test_a_kernel_is_refused_where_it_cannot_be():
    message = r'^model.attention_kernel is "pallas", which computes attention on GPUs only, in bfloat16, with'
    with pytest.raises(InputError, match=message):
        choose_kernel(recipe(attention_kernel="pallas"), SHAPES)


def test_what_is_expected_may_be_computed_on_another_device(trial, monkeypatch):
    """On a GPU, a CPU computes it."""
    monkeypatch.setattr(agreement, "reference_device", lambda: jax.devices()[-1])
    elsewhere = build_trial(Size(heads=2, width=8, source_length=16, target_length=24))
    assert disagreement(xla, elsewhere) is None
    jax.tree.map(np.testing.assert_array_equal, elsewhere.expected, trial.expected)


def test_kernels_are_for_bfloat16_and_undivided_heads(kernels_of_this_machine):
    kernels_of_this_machine(pallas=xla)
    assert candidate_kernels(recipe()) == ("pallas",)
    assert candidate_kernels(recipe(precision="float32")) == ()
    divided = Config(model=recipe().model, devices=DevicesConfig(tensor=2))
    assert candidate_kernels(divided) == ()


def packed_side(config: Config, rows: int, length: int) -> Side:
    """Packed rows for the heads of a config, with sentences of about 16 tokens."""
    segments = jnp.asarray(np.tile(row_segments(length, max(length // 16, 1), 0.95), (rows, 1)))
    ones = jnp.ones((rows, config.model.heads, length, config.model.width // config.model.heads), jnp.bfloat16)
    return Side(segments, ones, ones, ones, ones)


def kernel_milliseconds(kernel, side: Side, repeats: int = 20) -> float:
    """The median for the three kinds of attention and their gradients, without the first run, which compiles."""
    program, taken = results_and_gradients(kernel), []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        jax.block_until_ready(program(side, side))
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken[1:])


@pytest.mark.filterwarnings("default")
def test_every_kernel_of_this_machine_is_tried_and_timed():
    """Prints a table of agreement and milliseconds. Run it with -s and JAX_PLATFORMS=cuda."""
    config = recipe(width=512, heads=8)
    if not (names := candidate_kernels(config)):
        pytest.skip("no kernel is for this machine: set JAX_PLATFORMS=cuda on one with a GPU")
    agreed = set()
    with jax.numpy_rank_promotion("allow"):
        for rows, length in ((256, 64), (256, 128), (64, 512)):
            trials, side = build_trials(config, [(rows, length, length)]), packed_side(config, rows, length)
            print(f"\n{rows} rows of {length} tokens: {kernel_milliseconds(xla, side):.2f} ms by xla")
            for name in names:
                if line := refusal(name, trials):
                    print(f"  {line}")
                else:
                    agreed.add(name)
                    print(f"  {name} agrees: {kernel_milliseconds(KERNELS[name], side):.2f} ms")
    assert agreed, f"none of {', '.join(names)} agrees with our own attention"
