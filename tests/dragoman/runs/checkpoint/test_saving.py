"""Checkpoints: saved arrays are restored on any mesh, and averaged; pruning keeps what is needed."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data.errors import InputError
from data.reporting import ignore
from dragoman.runs.checkpoint import Checkpointer, average, parameters_sha256, restore_optimizer, restore_parameters
from dragoman.runs.manifest import read_manifest, verify
from dragoman.runs.selection import latest, steps
from dragoman.runs.storage import name_leaves
from tests.support.small_checkpoint import HASHES, OPTIMIZER, abstract, assert_same, make, refusal, write


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    parameters = make(1) | {"half": jnp.arange(5, dtype=jnp.bfloat16) / 3}
    optimizer = OPTIMIZER.init(parameters)
    progress = {"data": {"position": 12}, "best": 30.5, "text": "é"}
    with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        checkpointer.save(7, parameters, optimizer, progress=progress, validation={"bleu": 30.5, "loss": 2.0})
        checkpointer.wait()
        manifest = verify(tmp_path / "7")
    assert (manifest.step, manifest.progress, manifest.hashes) == (7, progress, HASHES)
    assert manifest.validation == {"bleu": 30.5, "loss": 2.0}
    assert manifest.parameters_sha256 == parameters_sha256(parameters)
    assert manifest.optimizer_sha256 == parameters_sha256(optimizer)
    assert_same(restore_parameters(tmp_path / "7", abstract(parameters)), parameters)
    assert_same(restore_optimizer(tmp_path / "7", abstract(optimizer)), optimizer)
    plain = restore_parameters(tmp_path / "7")
    assert_same(name_leaves(plain), name_leaves(parameters))
    assert type(plain["encoder"]["layers"]["0"]["kernel"]) is np.ndarray


def test_a_file_in_the_place_of_the_checkpoints_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(InputError, match=r"checkpoints: cannot be written: File exists$"):
        Checkpointer(tmp_path / "checkpoints", keep_last=1, keep_best=0, hashes=HASHES)


def test_no_file_of_a_checkpoint_names_the_directory_it_was_written_to(original: Path) -> None:
    files = [path for path in original.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if str(original.parent).encode() in path.read_bytes()]


def test_a_sharded_checkpoint_restores_on_one_device_and_the_other_way_round(tmp_path: Path) -> None:
    mesh = Mesh(np.array(jax.devices()), ("data",))
    spread = NamedSharding(mesh, PartitionSpec(None, "data"))
    one = jax.device_put(jnp.arange(64.0).reshape(2, 32), jax.devices()[0])
    many = jax.device_put(one, spread)
    for step, array in ((1, one), (2, many)):
        with Checkpointer(tmp_path, keep_last=9, keep_best=0, hashes=HASHES) as checkpointer:
            checkpointer.save(step, {"x": array}, {"m": array}, progress={})
    assert read_manifest(tmp_path / "1").parameters_sha256 == read_manifest(tmp_path / "2").parameters_sha256
    back = restore_parameters(tmp_path / "1", abstract({"x": one}, spread))["x"]
    assert back.sharding == spread
    assert_same(back, one)
    back = restore_optimizer(tmp_path / "2", abstract({"m": one}, one.sharding))["m"]
    assert back.sharding == one.sharding
    assert_same(back, many)


def test_the_hash_of_parameters_depends_on_path_dtype_shape_and_value() -> None:
    x = jnp.arange(4.0)
    others = [{"b": x}, {"a": x.astype(jnp.bfloat16)}, {"a": x.reshape(2, 2)}, {"a": x + 1}, {"a": x, "b": x}]
    assert len({parameters_sha256(tree) for tree in [{"a": x}, *others]}) == 6
    assert parameters_sha256({"b": x, "a": x + 1}) == parameters_sha256({"a": np.asarray(x + 1), "b": np.asarray(x)})


def test_arrays_may_be_donated_as_soon_as_save_returns(tmp_path: Path) -> None:
    step = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    with Checkpointer(tmp_path, keep_last=9, keep_best=0, hashes=HASHES) as checkpointer:
        x = jnp.arange(1000.0)
        for number in range(3):
            expected = np.array(x)
            checkpointer.save(number, {"x": x}, {"m": jnp.ones(3)}, progress={})
            x = step(x) + number
            checkpointer.wait()
            np.testing.assert_array_equal(restore_parameters(tmp_path / str(number))["x"], expected)


def test_a_link_to_a_checkpoint_is_pruned_without_its_files(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "far", 100)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "100").symlink_to(elsewhere)
    with Checkpointer(tmp_path / "run", keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        for step in (200, 300):
            checkpointer.save(step, make(step), OPTIMIZER.init(make(step)), progress={})
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["300"]
    verify(elsewhere)


def test_pruning_keeps_the_newest_the_best_and_the_average(tmp_path: Path) -> None:
    scores = {1: 10.0, 2: 40.0, 3: 20.0, 4: 40.0, 5: None, 6: 5.0, 7: None}
    x = {"x": jnp.ones(2)}
    with Checkpointer(tmp_path, keep_last=2, keep_best=2, hashes=HASHES) as checkpointer:
        for step, bleu in scores.items():
            checkpointer.save(step, x, x, progress={}, validation=None if bleu is None else {"bleu": bleu})
            if step == 3:
                checkpointer.save_average(x, steps=[2, 1], validation={"bleu": 1.0})
        checkpointer.wait()
        assert steps(tmp_path) == [2, 4, 6, 7]
        assert verify(tmp_path / "average").averaged == [1, 2]
        checkpointer.save_average(x, steps=[4, 2], validation=None)  # replaces the first
        checkpointer.save(7, {"x": jnp.zeros(2)}, x, progress={"again": True})
    assert verify(tmp_path / "average").averaged == [2, 4]
    assert verify(tmp_path / "7").progress == {"again": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4", "6", "7", "average"]
    message = f"{tmp_path}/average: holds no optimizer state: training cannot resume from an average"
    assert refusal(restore_optimizer, tmp_path / "average", x) == message


def test_a_new_checkpoint_is_kept_even_if_a_later_one_is_damaged(original: Path, tmp_path: Path) -> None:
    for step in ("10", "200"):
        shutil.copytree(original, tmp_path / step)
    (tmp_path / "200" / "parameters" / "_METADATA").write_text("")
    with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        checkpointer.save(20, make(1), make(2), progress={})
    assert latest(tmp_path, warn=ignore) == tmp_path / "20"


def test_the_average_is_the_arithmetic_mean(tmp_path: Path) -> None:
    places = [write(tmp_path, step) for step in (1, 2, 3)]
    mean = name_leaves(average(places))
    leaves = [name_leaves(make(step)) for step in (1, 2, 3)]
    for name, value in mean.items():
        expected = np.mean([np.asarray(one[name], np.float64) for one in leaves], axis=0).astype(np.float32)
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, expected)
    assert_same(name_leaves(average(places[:1])), name_leaves(jax.tree.map(np.asarray, make(1))))
    assert refusal(average, []) == "no checkpoints to average"
    with Checkpointer(tmp_path / "other", keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        checkpointer.save(1, {"x": jnp.ones(3)}, {"m": jnp.ones(3)}, progress={})
    assert "encoder/layers/0/bias is missing" in refusal(average, [places[0], tmp_path / "other" / "1"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_saved(tmp_path: Path, value: float) -> None:
    good = make(1)
    bad = {"encoder": {"layers": [{"kernel": good["encoder"]["layers"][0]["kernel"].at[1, 2].set(value)}]}}
    with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        checkpointer.save(1, good, good, progress={})
        message = refusal(lambda: checkpointer.save(2, bad, good, progress={}))
        assert message.startswith(
            f"{tmp_path}/2: parameters: encoder/layers/0/kernel is not finite in 1 of 128 values, so it is not saved: "
        )
        message = refusal(lambda: checkpointer.save(2, good, {"m": jnp.full(2, value, jnp.bfloat16)}, progress={}))
        assert message.startswith(f"{tmp_path}/2: optimizer: m is not finite in 2 of 2 values")
    assert latest(tmp_path, warn=pytest.fail) == tmp_path / "1"
