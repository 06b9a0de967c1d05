"""Attention kernels: one that disagrees is rejected in one line, and the fastest of the others is chosen."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from data.errors import InputError
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices.agreement import Size, build_trial, disagreement, row_segments, xla
from transformer.devices.kernels import build_trials, candidates, choose, kernel_seconds, least, refusal, timed_rows
from transformer.model import kernels
from transformer.model.kernels import KERNELS, PLATFORMS
from transformer.model.masks import CausalMask, SegmentMask

SHAPES = [(2, 16, 24), (3, 16, 16)]
OFF = r"^{} is off by [\d.e+]+ where scores are \w+; rounding allows [\d.e+-]+$"


def recipe(**model) -> Config:
    return Config(model=ModelConfig(**{"width": 16, "heads": 2, "precision": "bfloat16", **model}))


@pytest.fixture(scope="module")
def trial():
    return build_trial(Size(heads=2, width=8, source_length=16, target_length=24))


def without_mask(query, key, value, mask, bias):
    everywhere = SegmentMask(*(jnp.ones((x.shape[0], x.shape[2]), jnp.int32) for x in (query, key)))
    return xla(query, key, value, everywhere, bias)


def without_the_future_hidden(query, key, value, mask, bias):
    mask = SegmentMask(mask.segments, mask.segments) if isinstance(mask, CausalMask) else mask
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


@pytest.mark.parametrize("implementation", ["xla", "xla_chunked"])
def test_tokamax_agrees_on_packed_rows_in_result_and_gradients(trial, implementation):
    pytest.importorskip("tokamax")
    with jax.numpy_rank_promotion("allow"):  # as in training: libraries rely on rank promotion
        assert disagreement(partial(kernels.tokamax, implementation=implementation), trial) is None


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
    """Replaces the library kernels by functions, as if these were kernels for CPUs."""

    def replace(**functions):
        for name, function in functions.items():
            monkeypatch.setitem(KERNELS, name, function)
            monkeypatch.setitem(PLATFORMS, name, ("cpu",))

    return replace


def test_what_disagrees_is_refused_in_a_line_and_the_fastest_of_the_others_is_chosen(kernels_of_this_machine):
    kernels_of_this_machine(cudnn=without_mask, triton=xla, mosaic=unwilling)
    choice = choose(recipe(), SHAPES)
    assert choice.kernel in ("triton", "xla")
    assert re.fullmatch(r"[\d.]+ ms by (triton|xla), [\d.]+ ms by (triton|xla)", choice.reason)
    assert [line.partition(":")[0] for line in choice.refused] == ["cudnn is refused", "mosaic is refused"]
    assert choice.refused[1] == "mosaic is refused: NotImplementedError: Only even heads are supported."


def test_where_nothing_agrees_our_own_attention_computes(kernels_of_this_machine):
    kernels_of_this_machine(cudnn=nan_at_padding)
    choice = choose(recipe(), SHAPES)
    assert choice[:2] == ("xla", "no other kernel agrees with it")
    assert len(choice.refused) == 1


def test_a_kernel_requested_by_name_must_agree(kernels_of_this_machine):
    kernels_of_this_machine(cudnn=wrong_gradient_of_keys, triton=xla)
    assert choose(recipe(attention_kernel="triton"), SHAPES) is None
    message = r'^model.attention_kernel is "cudnn", but cudnn is refused: the gradient of keys .*: set it to "xla"$'
    with pytest.raises(InputError, match=message):
        choose(recipe(attention_kernel="cudnn"), SHAPES)


def test_the_fastest_kernel_is_chosen_and_all_times_are_reported():
    assert least({"cudnn": 0.001, "xla": 0.002}) == ("cudnn", "1.00 ms by cudnn, 2.00 ms by xla")
    assert least({"cudnn": 0.003, "xla": 0.002}) == ("xla", "2.00 ms by xla, 3.00 ms by cudnn")


def test_without_an_accelerator_there_is_no_choice():
    assert choose(recipe(), SHAPES) is None
    assert choose(recipe(attention_kernel="xla"), SHAPES) is None


@pytest.mark.parametrize(("kernel", "machines"), [("cudnn", "GPUs"), ("triton", "GPUs"), ("mosaic", "GPUs and TPUs")])
def test_a_kernel_is_refused_where_it_cannot_be(kernel, machines):
    message = f'^model.attention_kernel is "{kernel}", which computes attention on {machines} only, in bfloat16'
    with pytest.raises(InputError, match=message):
        choose(recipe(attention_kernel=kernel), SHAPES)


def test_kernels_are_for_bfloat16_and_undivided_heads(kernels_of_this_machine):
    kernels_of_this_machine(triton=xla)
    assert candidates(recipe()) == ("triton",)
    assert candidates(recipe(precision="float32")) == ()
    divided = Config(model=recipe().model, devices=DevicesConfig(tensor=2))
    assert candidates(divided) == ()


@pytest.mark.filterwarnings("default")
def test_every_kernel_of_this_machine_is_tried_and_timed():
    """Prints a table of agreement and milliseconds. Run it with -s and JAX_PLATFORMS=cuda or tpu."""
    config = recipe(width=512, heads=8)
    if not (names := candidates(config)):
        pytest.skip("no kernel is for this machine: set JAX_PLATFORMS=cuda or tpu on one with an accelerator")
    agreed = set()
    with jax.numpy_rank_promotion("allow"):
        for rows, length in ((256, 64), (256, 128), (64, 512)):
            shapes = [(rows, length, length)]
            sides, trials = timed_rows(config, shapes), build_trials(config, shapes)
            print(f"\n{rows} rows of {length} tokens: {1e3 * kernel_seconds(xla, *sides):.2f} ms by xla")
            for name in names:
                if line := refusal(name, trials):
                    print(f"  {line}")
                else:
                    agreed.add(name)
                    print(f"  {name} agrees: {1e3 * kernel_seconds(KERNELS[name], *sides):.2f} ms")
    assert agreed, f"none of {', '.join(names)} agrees with our own attention"
