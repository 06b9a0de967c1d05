"""The identity of a run: knobs declare what they determine, and later versions respect it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from data.config import Facts, knob
from data.errors import InputError
from dragoman.runs import recipe
from dragoman.runs.identity import (
    check_config,
    check_hashes,
    check_knobs,
    check_planned_steps,
    config_hash,
    fixed_knobs,
)
from dragoman.runs.manifest import FORMAT, Manifest, read_manifest
from dragoman.runs.recipe import KNOBS, RENAMED, SECTIONS, read_recipe, read_stored, toml_text
from dragoman.runs.run import Run
from tests.support.paths import ROOT
from transformer.config import Config, ModelConfig

GOLDEN = ROOT / "tests" / "golden" / "run"
FIRST = tomllib.loads((GOLDEN / "config.toml").read_text())  # every knob of version 0.1.0, by section
FACTS = {f"{section}.{name}": facts for section, model in SECTIONS.items() for name, facts in model.facts().items()}
IDENTITIES = ("shapes_parameters", "changes_translation", "orders_batches")


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


class LaterModel(ModelConfig):
    """A later version with a new knob, whose default differs from earlier behaviour, and with a changed default."""

    gates: bool = knob(True, description="a knob of a later version", before=False)
    width: int = knob(1024, description="another default")


class LaterConfig(Config):
    model: LaterModel = LaterModel()


@pytest.fixture
def later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes recipes be read by that version."""
    monkeypatch.setattr(recipe, "Config", LaterConfig)
    monkeypatch.setitem(recipe.SECTIONS, "model", LaterModel)
    monkeypatch.setitem(recipe.KNOBS, "model.gates", LaterModel.model_fields["gates"])


def later(**model: Any) -> LaterConfig:
    return LaterConfig.model_validate({"model": model})


@pytest.mark.parametrize("section", SECTIONS)
def test_every_knob_declares_what_must_be_known_of_it(section: str) -> None:
    needed = {"on_resume", "shapes_parameters", "changes_translation"}
    for name, facts in SECTIONS[section].facts().items():
        assert facts.keys() >= needed, f"{section}.{name}"
        assert facts.keys() <= Facts.__annotations__.keys(), f"{section}.{name}"
        assert ("export" in facts) == (section == "decoding"), f"{section}.{name}"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_knob_that_version_0_1_0_lacks_declares_the_value_of_runs_before_it(section: str) -> None:
    for name, facts in SECTIONS[section].facts().items():
        assert facts.get("formerly", name) in FIRST[section] or "before" in facts, f"{section}.{name}"


def test_no_two_knobs_share_a_name_in_an_identity_nor_a_former_name() -> None:
    for fact in IDENTITIES:
        names = [facts.get("formerly", key.split(".")[1]) for key, facts in FACTS.items() if facts.get(fact)]
        assert len(names) == len(set(names))
    assert not RENAMED.keys() & KNOBS.keys()


def test_what_shapes_parameters_or_orders_batches_is_fixed_on_resume() -> None:
    for key, facts in FACTS.items():
        if facts["shapes_parameters"] or facts.get("orders_batches"):
            assert facts["on_resume"] == "fixed", key


def test_a_knob_changes_an_identity_if_it_declares_so_and_only_then() -> None:
    changes: dict[str, dict[str, Any]] = {
        "model": {"heads": 4, "dropout": 0.3, "precision": "float32", "attention_kernel": "xla"},
        "data": {"vocabulary": "separate", "maximum_tokens": 64, "toy_pairs": 5, "maximum_side_ratio": 2.0},
        "decoding": {"beam": 2, "seed": 3},
        "training": {"seed": 3, "steps": 5},
        "devices": {"fsdp": 2},
    }
    for section, values in changes.items():
        for name, value in values.items():
            plain = getattr(config(), section)
            changed = plain.model_copy(update={name: value})
            for fact in IDENTITIES:
                is_other = changed.identity(fact) != plain.identity(fact)
                assert is_other == FACTS[f"{section}.{name}"].get(fact, False), f"{section}.{name}"


def test_the_config_hash_of_version_0_1_0_still_holds() -> None:
    made = read_manifest(GOLDEN / "checkpoints" / "600").hashes["config"]
    assert config_hash(Run(GOLDEN).load_config()) == made


def test_neither_a_new_knob_nor_a_new_default_changes_the_hash_of_a_stored_config() -> None:
    stored = config().model.model_dump()
    assert config_hash(later(**stored, gates=False)) == config_hash(config())
    distinct = {config_hash(later(**stored, gates=True)), config_hash(later(gates=False)), config_hash(config())}
    assert len(distinct) == 3
    assert config_hash(later(gates=False)) == config_hash(config(model={"width": 1024}))


def test_a_stored_config_is_read_by_a_later_version_as_it_was_meant(later_version: None, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save_config(config())  # by this version, with every knob
    found = run.load_config({"training.steps": "7"})
    assert isinstance(found.model, LaterModel)
    assert (found.model.width, found.model.gates, found.training.steps) == (512, False, 7)
    assert config_hash(found) == config_hash(config())
    fresh = tmp_path / "recipe.toml"
    fresh.write_text("[model]\nheads = 4\n")
    new = read_recipe(fresh).model
    assert isinstance(new, LaterModel)
    assert (new.width, new.gates) == (1024, True)


def test_a_knob_of_a_later_version_is_reported_in_one_line(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.path.mkdir(exist_ok=True)
    run.config_path.write_text(toml_text(later(gates=False)))
    with pytest.raises(InputError, match=r"config\.toml: unknown key model\.gates; "):
        run.load_config()


def test_a_renamed_knob_goes_by_its_former_name_with_a_note(tmp_path: Path) -> None:
    path, notes = tmp_path / "x.toml", list[str]()
    path.write_text('[data]\nmaximum_ratio = 3.0\ncleaning = "all"\n[decoding]\nmaximum_ratio = 1.5\n')
    found = read_recipe(path, note=notes.append)
    assert (found.data.maximum_side_ratio, found.decoding.maximum_ratio) == (3.0, 1.5)
    assert notes == [f"{path}: data.maximum_ratio is now called data.maximum_side_ratio"]
    path.write_text(toml_text(found).replace("maximum_side_ratio", "maximum_ratio"))
    stored = read_stored(path)
    assert (stored.data.maximum_side_ratio, stored.decoding.maximum_ratio) == (3.0, 1.5)
    notes.clear()
    path.write_text("")
    assert read_recipe(path, {"data.maximum_ratio": "4"}, note=notes.append).data.maximum_side_ratio == 4.0
    assert notes == ["--data.maximum_ratio is now called --data.maximum_side_ratio"]


def test_a_knob_under_both_its_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[data]\nmaximum_ratio = 3.0\nmaximum_side_ratio = 2.0\n")
    with pytest.raises(
        InputError, match=r"x\.toml: data\.maximum_ratio is the former name of data\.maximum_side_ratio"
    ):
        read_recipe(path)
    path.write_text("")
    with pytest.raises(InputError, match=r"^--data\.maximum_ratio is the former name of --data\.maximum_side_ratio"):
        read_recipe(path, {"data.maximum_ratio": "4", "data.maximum_side_ratio": "4"})
    with pytest.raises(InputError, match=r"^--data\.maximum_side_ratio: data\.maximum_side_ratio must be a number"):
        read_recipe(path, {"data.maximum_ratio": "four"})


def test_a_saved_place_in_the_data_keeps_the_names_of_version_0_1_0() -> None:
    signature = read_manifest(GOLDEN / "checkpoints" / "600").progress["data"]["signature"]
    identity = Run(GOLDEN).load_config().data.identity("orders_batches")
    assert {name: signature[name] for name in identity} == identity


def planned(steps: dict[str, Any]) -> Manifest:
    golden = read_manifest(GOLDEN / "checkpoints" / "600")
    return golden.model_copy(update={"progress": steps})


def test_steps_may_change_on_resume_except_under_the_cosine_schedule(tmp_path: Path) -> None:
    """Also if they were edited in the run's own config, which only the checkpoint reveals."""
    constant = [config(training={"steps": steps, "schedule": "constant"}) for steps in (9, 10)]
    cosine = [config(training={"steps": steps, "schedule": "cosine"}) for steps in (9, 10)]
    check_config(*constant, where=tmp_path)
    check_planned_steps(planned({"planned_steps": 9}), constant[1], where=tmp_path)
    check_planned_steps(planned({"planned_steps": 10}), cosine[1], where=tmp_path)
    check_planned_steps(planned({}), cosine[1], where=tmp_path)
    message = (
        f"{tmp_path}: training.steps is 9 in this run, found 10: the cosine schedule falls to 0 at the last step, so "
        "the number of steps cannot change under it: set it back, or start another run with --run"
    )
    with pytest.raises(InputError) as caught:
        check_config(*cosine, where=tmp_path)
    assert str(caught.value) == message
    with pytest.raises(InputError) as caught:
        check_planned_steps(planned({"planned_steps": 9}), cosine[1], where=tmp_path)
    assert str(caught.value) == message


def test_a_fixed_knob_edited_in_the_runs_own_config_is_noticed(tmp_path: Path) -> None:
    """Only the checkpoint reveals it. Free knobs may be edited, and a checkpoint of version 0.1.0 records nothing."""
    trained = config(training={"schedule": "cosine"}, data={"maximum_side_ratio": 3.0})
    manifest = planned({"knobs": json.loads(json.dumps(fixed_knobs(trained)))})
    free = trained.with_training({"validate_every": 5, "log_every": 1, "metric": "chrf", "validation_sentences": 7})
    free = free.model_copy(update={"data": free.data.model_copy(update={"validation": [["a", "b"]], "test": [["c"]]})})
    for same in (trained, free):
        check_knobs(manifest, same, where=tmp_path)
    check_knobs(planned({}), config(training={"learning_rate": 0.5}), where=tmp_path)
    edits = {"training": {"learning_rate": 0.5}, "model": {"dropout": 0.3}, "data": {"maximum_side_ratio": 2.0}}
    for section, changes in edits.items():
        edited = trained.model_copy(update={section: getattr(trained, section).model_copy(update=changes)})
        (name, now), before = *changes.items(), getattr(getattr(trained, section), next(iter(changes)))
        with pytest.raises(InputError) as caught:
            check_knobs(manifest, edited, where=tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: was trained with {section}.{name} {before}, found {now}: "
            "set it back, or start another run with --run"
        )
    with pytest.raises(InputError, match=r"training\.steps 100000, found 7: the cosine schedule falls to 0 at"):
        check_knobs(manifest, trained.with_training({"steps": 7}), where=tmp_path)


def test_a_run_resumes_with_other_lengths_devices_and_search_only(tmp_path: Path) -> None:
    other = config(
        training={"steps": 5, "log_every": 1, "save_every": 2, "patience": 3, "keep_last": 1, "keep_best": 1},
        devices={"fsdp": 2},
        decoding={"beam": 1},
        data={"directory": "elsewhere"},
    )
    check_config(config(), other, where=tmp_path)
    with pytest.raises(
        InputError, match=r"model.width is 512 in this run, found 256: set it back, or start another run"
    ):
        check_config(config(), config(model={"width": 256}, training={"seed": 3}), where=tmp_path)


def test_the_config_hash_covers_what_parameters_mean_and_no_more() -> None:
    same = config(model={"dropout": 0.3, "precision": "float32"}, training={"steps": 3}, data={"vocabulary_size": 9})
    assert config_hash(config()) == config_hash(same)
    others = [{"width": 256}, {"tied": "none"}, {"norm_position": "post"}, {"heads": 4}]
    hashes = {config_hash(config(model=model)) for model in others} | {config_hash(config())}
    separate = config(model={"tied": "none"}, data={"vocabulary": "separate"})
    assert len(hashes | {config_hash(separate)}) == 6


def test_a_checkpoint_made_with_another_config_tokenizer_or_data_is_refused(tmp_path: Path) -> None:
    made = {"config": "a" * 64, "tokenizer": "b" * 64, "data": "c" * 64}
    manifest = Manifest(
        format=FORMAT,
        step=1,
        averaged=[],
        files=[],
        hashes=made,
        parameters_sha256="",
        optimizer_sha256=None,
        validation=None,
        progress={},
    )
    check_hashes(manifest, {"config": "a" * 64, "tokenizer": "b" * 64}, where=tmp_path)
    for kind in made:
        with pytest.raises(InputError) as caught:
            check_hashes(manifest, made | {kind: "d" * 64}, where=tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: was made with another {kind}: SHA-256 {made[kind][:12]}, found dddddddddddd: "
            f"put the original {kind} back, or use another checkpoint"
        )
