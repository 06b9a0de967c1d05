"""The plan resolves "auto", a resumed run keeps resolved values, and more parts change only one knob."""

from pathlib import Path

import pytest

from data.config import DataConfig
from data.errors import InputError
from dragoman.training.plan import Plan, keep_resolved, make_plan
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.model.dense import resolve_precision
from transformer.model.kernels import KERNELS, PLATFORMS

WHERE = Path("run/config.toml")
USUAL = resolve_precision("auto")
OTHER = "bfloat16" if USUAL != "bfloat16" else "float32"


def recipe(*, precision: str = "auto", kernel: str = "auto", **training) -> Config:
    model = ModelConfig(
        encoder_layers=1,
        decoder_layers=1,
        width=16,
        heads=2,
        feed_forward=32,
        maximum_length=16,
        precision=precision,
        attention_kernel=kernel,
    )
    data = DataConfig(maximum_tokens=16, row_length=16)
    devices = DevicesConfig(data=2)
    return Config(data=data, model=model, training=TrainingConfig(**{"batch_tokens": 96} | training), devices=devices)


def plan_of(config: Config) -> Plan:
    return make_plan(config, 40, 48)


def kept(config: Config, stored: Config) -> tuple[Config, list[str]]:
    lines: list[str] = []
    return keep_resolved(config, stored, where=WHERE, note=lines.append), lines


def test_a_plan_has_a_value_for_every_auto_and_says_how_it_was_found():
    plan = plan_of(recipe(batch_tokens="auto", batch_tokens_limit=100))
    knobs = {**plan.config.model.model_dump(), **plan.config.training.model_dump()}
    assert [name for name, value in knobs.items() if value == "auto"] == ["layer_loop"]  # chosen when a model is built
    assert (plan.config.model.precision, plan.config.model.attention_kernel) == (USUAL, "xla")
    assert plan.batch_tokens == 64
    auto, *_, model = plan.notes
    assert auto.startswith('training.batch_tokens = "auto": 64 tokens an update (')
    assert model.endswith(f"parameters, products in {USUAL}, on 2 x cpu")
    assert plan_of(plan.config).config == plan.config


def test_in_more_parts_a_plan_computes_the_same_batches_on_the_same_devices():
    plan = plan_of(recipe())
    in_two = plan.in_more_parts()
    assert in_two.config == plan.config.with_training({"accumulation": 2})
    assert (in_two.batch_shapes, in_two.rows_per_device) == (plan.batch_shapes, plan.rows_per_device)
    assert (plan.share.row_multiple, in_two.share.row_multiple) == (2, 4)
    with pytest.raises(InputError, match="out of memory in an update of one row a device at a time"):
        in_two.in_more_parts().in_more_parts()


def test_a_resumed_run_keeps_what_auto_chose_and_says_if_this_device_would_choose_otherwise():
    stored = recipe(precision=OTHER, kernel="xla", batch_tokens=64)
    config, lines = kept(recipe(batch_tokens="auto"), stored)
    assert config == stored
    assert lines == [
        f'model.precision stays {OTHER}, as the run began; on this device "auto" would be {USUAL}: '
        f"--model.precision {USUAL} changes it"
    ]
    assert kept(recipe(), recipe(precision=USUAL)) == (recipe(precision=USUAL), [])


def test_the_kernel_of_another_machine_is_not_kept():
    assert kept(recipe(), recipe(precision=USUAL, kernel="pallas")) == (recipe(precision=USUAL), [])


def test_a_kernel_that_is_refused_is_named_in_the_notes(monkeypatch):
    def unwilling(*_):
        raise NotImplementedError("no such device")

    monkeypatch.setitem(KERNELS, "pallas", unwilling)
    monkeypatch.setitem(PLATFORMS, "pallas", ("cpu",))
    plan = plan_of(recipe(precision="bfloat16"))
    assert plan.config.model.attention_kernel == "xla"
    assert plan.notes[:2] == (
        'model.attention_kernel = "auto": pallas is refused: NotImplementedError: no such device',
        'model.attention_kernel = "auto": xla (no other kernel agrees with it)',
    )


def test_a_change_of_precision_is_reported_and_the_kernel_is_tried_again():
    config, lines = kept(recipe(precision=OTHER), recipe(precision=USUAL, kernel="pallas"))
    assert config == recipe(precision=OTHER)
    assert lines == [f"model.precision is {OTHER} from here on; it was {USUAL}"]


def test_a_run_that_stored_auto_resumes_with_what_this_device_chooses():
    assert kept(recipe(), recipe()) == (recipe(precision=USUAL), [])


def test_a_recipe_that_names_no_batching_keeps_that_of_a_run_with_another_default():
    """A run of version 0.1.0 was bucketed by default, in lengths without a limit."""
    older = recipe(precision=USUAL)
    older = older.model_copy(update={"data": older.data.model_copy(update={"batching": "bucketed", "buckets": 0})})
    config, _ = kept(recipe(), older)
    assert (config.data.batching, config.data.buckets) == ("bucketed", 0)
    named = Config.model_validate({"data": {"batching": "packed"}})
    with pytest.raises(InputError, match=r"data\.batching is 'bucketed' in this run, found 'packed'"):
        kept(named, Config.model_validate({"data": {"batching": "bucketed", "buckets": 0}}))


def test_a_knob_that_may_not_change_is_refused():
    with pytest.raises(InputError, match=r"run/config\.toml: training\.seed is 1 in this run, found 2"):
        kept(recipe(seed=2), recipe())
