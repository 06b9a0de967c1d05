"""The kernel of attention: the faster one, XLA's where cuDNN refuses, and no question where there is no GPU."""

from functools import partial

import pytest

from data.errors import InputError
from transformer.config import Config, ModelConfig
from transformer.devices.kernels import attention_seconds, choose, faster
from transformer.model.attention import resolve_kernel

SHAPES = [(2, 4, 6)]


def recipe(**model) -> Config:
    return Config(model=ModelConfig(width=16, heads=2, precision="bfloat16", **model))


@pytest.mark.parametrize(("by_cudnn", "expected"), [(0.001, "cudnn"), (0.003, "xla")])
def test_the_kernel_of_fewer_seconds_is_chosen_and_both_times_are_told(by_cudnn, expected):
    choice = faster({"xla": 0.002, "cudnn": by_cudnn}.__getitem__)
    assert choice == (expected, f"{1e3 * by_cudnn:.2f} ms by cuDNN, 2.00 ms by XLA", False)


def test_where_cudnn_refuses_attention_is_xlas_and_the_reason_is_told():
    """Here it does: there is no GPU."""
    choice = faster(partial(attention_seconds, recipe(), SHAPES))
    assert choice.kernel == "xla"
    assert choice.is_refused
    assert choice.reason.startswith("cuDNN refuses: ")


def test_every_shape_of_batches_is_timed():
    assert attention_seconds(recipe(), [], "xla") == 0
    assert attention_seconds(recipe(), SHAPES, "xla") > 0


def test_without_a_gpu_there_is_no_choice_and_a_run_trained_on_one_computes_by_xla():
    assert choose(recipe(), SHAPES) is None
    assert choose(recipe(attention_kernel="xla"), SHAPES) is None
    assert resolve_kernel("cudnn") == resolve_kernel("auto") == "xla"


def test_cudnn_is_refused_where_it_cannot_be():
    message = r'^model.attention_kernel is "cudnn", which computes attention on GPUs only, in bfloat16'
    with pytest.raises(InputError, match=message):
        choose(recipe(attention_kernel="cudnn"), SHAPES)
