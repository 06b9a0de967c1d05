"""The kernel of attention: the faster one, XLA's where cuDNN refuses, and no question where there is no GPU."""

import math
from functools import partial

import pytest

from transformer.attention import resolve_kernel
from transformer.attention_kernel import attention_seconds, faster, is_undecided
from transformer.config import Config, ModelConfig


def recipe(**model) -> Config:
    return Config(model=ModelConfig(width=16, heads=2, precision="bfloat16", **model))


@pytest.mark.parametrize(("by_cudnn", "expected"), [(0.001, "cudnn"), (0.003, "xla")])
def test_the_kernel_of_fewer_seconds_is_chosen_and_both_times_are_told(by_cudnn, expected):
    choice = faster({"xla": 0.002, "cudnn": by_cudnn}.__getitem__)
    assert choice.kernel == expected
    assert f"{1e3 * by_cudnn:.2f} ms by cuDNN, 2.00 ms by XLA" in choice.reason


def test_where_cudnn_refuses_attention_is_xlas_and_the_reason_is_told():
    """Here it does: there is no GPU."""
    choice = faster(partial(attention_seconds, recipe(), [(2, 4, 6)]))
    assert choice.kernel == "xla"
    assert choice.reason.startswith("XLA, as cuDNN refuses: cuDNN is not detected")


def test_more_shapes_take_their_sum():
    one, both = ([(16, 8, 8)] * count for count in (1, 2))
    seconds = attention_seconds(recipe(), one, "xla"), attention_seconds(recipe(), both, "xla")
    assert 0 < seconds[0] < math.inf
    assert seconds[1] > seconds[0] / 2


def test_without_a_gpu_nothing_is_timed_and_a_run_trained_on_one_computes_by_xla():
    assert not is_undecided(recipe())
    assert resolve_kernel("cudnn") == resolve_kernel("auto") == "xla"
