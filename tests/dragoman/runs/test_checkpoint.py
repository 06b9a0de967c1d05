"""Checkpoints: saved arrays are restored on any mesh, damaged ones never are, and a crash loses nothing."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data.errors import InputError
from dragoman.files import sha256
from dragoman.runs import checkpoint as checkpoints
from dragoman.runs import manifest as manifests
from dragoman.runs.checkpoint import (
    Checkpointer,
    average,
    parameters_sha256,
    restore_optimizer,
    restore_parameters,
)
from dragoman.runs.manifest import read_manifest, verify, write_manifest
from dragoman.runs.run import Run
from dragoman.runs.selection import best, best_steps, latest, steps
from dragoman.runs.storage import name_leaves

HASHES = {"config": "c" * 64, "tokenizer": "t" * 64, "data": "d" * 64}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))


def make(seed: int) -> dict[str, Any]:
    """Parameters that depend on the seed."""
    first, second = jax.random.split(jax.random.key(seed))
    kernel = jax.random.normal(first, (8, 16))
    return {"encoder": {"layers": [{"kernel": kernel, "bias": jnp.zeros(3)}]}, "scale": jax.random.normal(second, ())}


def write(directory: Path, step: int, *, seed: int | None = None, bleu: float | None = None) -> Path:
    """A checkpoint on disk."""
    parameters = make(step if seed is None else seed)
    with Checkpointer(directory, keep_last=100, keep_best=0, hashes=HASHES) as checkpointer:
        validation = None if bleu is None else {"bleu": bleu}
        checkpointer.save(step, parameters, OPTIMIZER.init(parameters), progress={}, validation=validation)
    return directory / str(step)


def abstract(tree: Any, sharding: Any = None) -> Any:
    """The template of a pytree."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def assert_same(one: Any, other: Any) -> None:
    """Asserts equal structure, dtypes and bits."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    """The one-line message of the InputError that a call raises."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original"), 100, bleu=30.0)


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "checkpoints" / "100"))


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


def test_one_flipped_bit_in_any_file_is_refused_naming_the_file(saved: Path) -> None:
    chance = random.Random(1)
    names = [path for path in saved.rglob("*") if path.is_file()]
    assert len(names) > 10
    for path in names:
        content = path.read_bytes()
        for place in {0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(20))}:
            damaged = bytearray(content)
            damaged[place] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            assert refusal(verify, saved).startswith(f"{path}: damaged: its SHA-256 is not the one ")
        path.write_bytes(content)
    verify(saved)


def test_a_file_cut_or_deleted_or_added_is_refused_naming_the_file(saved: Path) -> None:
    for path in [path for path in saved.rglob("*") if path.is_file() and path.name != "manifest.json"]:
        content = path.read_bytes()
        for size in {0, 1, len(content) // 2, len(content) - 1}:
            path.write_bytes(content[:size])
            assert refusal(verify, saved) == f"{path}: {size} bytes, but manifest.json says {len(content)}"
        path.unlink()
        assert refusal(verify, saved) == f"{path}: missing, though listed in manifest.json"
        path.write_bytes(content)
    for name in ("extra", ".zarray", ".zgroup", "d/extra", "manifest.ocdbt.tmp"):
        extra = saved / "parameters" / name
        extra.write_text("")
        assert refusal(verify, saved) == f"{extra}: not listed in manifest.json: a checkpoint holds nothing else"
        extra.unlink()


def test_a_damaged_optimizer_state_stops_a_resume_but_no_translation(saved: Path) -> None:
    template, path = abstract(make(100)), saved / "optimizer" / "_METADATA"
    optimizer = abstract(OPTIMIZER.init(make(100)))
    content = path.read_bytes()
    for damaged in (content[:-1], bytes([content[0] ^ 1]) + content[1:]):
        path.write_bytes(damaged)
        assert_same(restore_parameters(saved, template), make(100))
        assert best(saved.parent, metric="bleu", warn=pytest.fail) == saved
        assert refusal(restore_optimizer, saved, optimizer).startswith(f"{path}: ")
        assert latest(saved.parent, warn=lambda _: None) is None
    shutil.rmtree(saved / "optimizer")
    assert_same(restore_parameters(saved, template), make(100))
    assert "missing, though listed in manifest.json" in refusal(restore_optimizer, saved, optimizer)


def test_damaged_parameters_are_never_loaded(saved: Path) -> None:
    template = abstract(make(100))
    for path in [path for path in (saved / "parameters").rglob("*") if path.is_file()]:
        content = path.read_bytes()
        for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            path.write_bytes(damaged)
            message = refusal(restore_parameters, saved, template)
            assert message.startswith(f"{path}: ")
            assert message.endswith(": restore it, or choose another with --checkpoint")
        path.write_bytes(content)
    (saved / "parameters" / "extra").touch()
    assert "extra: not listed in manifest.json" in refusal(restore_parameters, saved, template)


def test_a_load_reads_each_file_of_the_parameters_once_to_hash_it(saved: Path, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(manifests, "sha256", lambda path: opened.append(str(path)) or sha256(path))
    restore_parameters(saved, abstract(make(100)))
    assert sorted(opened) == sorted(str(path) for path in (saved / "parameters").rglob("*") if path.is_file())


def test_a_manifest_cut_anywhere_is_refused(saved: Path) -> None:
    path = saved / "manifest.json"
    content = path.read_bytes()
    for size in {*range(0, len(content), 97), *range(100), len(content) - 1}:
        path.write_bytes(content[:size])
        assert refusal(verify, saved) == f"{path}: damaged: its SHA-256 is not the one on its first line"
    path.unlink()
    assert refusal(verify, saved) == f"{path}: missing: not a checkpoint, or an incomplete one"
    assert refusal(verify, saved / "none").endswith(
        "none/manifest.json: missing: not a checkpoint, or an incomplete one"
    )


def test_a_checkpoint_of_links_to_blobs_is_loaded_and_each_blob_is_verified(saved: Path) -> None:
    """As the cache of a model hub keeps it: every file is a link to a blob that is named by its hash."""
    blobs = saved.parent / "blobs"
    blobs.mkdir()
    for path in [path for path in saved.rglob("*") if path.is_file()]:
        path.symlink_to(path.rename(blobs / sha256(path)))
    template = abstract(make(100))
    assert_same(restore_parameters(saved, template), make(100))
    assert_same(restore_optimizer(saved, abstract(OPTIMIZER.init(make(100)))), OPTIMIZER.init(make(100)))
    (saved.parent / "200").symlink_to(saved)
    assert_same(restore_parameters(saved.parent / "200", template), make(100))
    for path in (saved / "parameters").rglob("*"):
        if path.is_symlink():
            blob, content = path.resolve(), path.read_bytes()
            blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            name, _, problem = refusal(verify, saved).partition(": ")
            assert (Path(name).resolve(), problem) == (blob, "damaged: its SHA-256 is not the one in manifest.json")
            blob.unlink()
            name, _, problem = refusal(verify, saved).partition(": ")
            assert Path(name).resolve() == blob
            assert problem == "is not a file, nor a link to one; a checkpoint holds nothing else"
            blob.write_bytes(content)


def test_a_link_that_is_not_listed_and_a_pipe_are_rejected_unopened(saved: Path) -> None:
    extra = saved / "parameters" / "extra"
    extra.symlink_to("/etc/passwd")
    assert refusal(verify, saved) == f"{extra}: not listed in manifest.json: a checkpoint holds nothing else"
    extra.unlink()
    path = saved / "parameters" / "_METADATA"
    path.unlink()
    os.mkfifo(path)
    assert refusal(verify, saved) == f"{path}: is not a file, nor a link to one; a checkpoint holds nothing else"


def test_what_file_managers_leave_changes_nothing(saved: Path, tmp_path: Path) -> None:
    for directory in [saved.parent, saved, *[path for path in saved.rglob("*") if path.is_dir()]]:
        names = [
            ".DS_Store",
            ".stignore",
            "Thumbs.db",
            "desktop.ini",
            *(f"._{path.name}" for path in directory.iterdir()),
        ]
        for name in names:
            (directory / name).write_text("x")
        (directory / "@eaDir").mkdir()
        (directory / "@eaDir" / "SYNO@.attr").write_text("x")
    assert_same(restore_parameters(saved, abstract(make(100))), make(100))
    assert_same(restore_optimizer(saved, abstract(OPTIMIZER.init(make(100)))), OPTIMIZER.init(make(100)))
    assert (latest(saved.parent, warn=pytest.fail), best(saved.parent, metric="bleu", warn=pytest.fail)) == (saved,) * 2
    run = Run(tmp_path / "new")
    assert not run.has_checkpoints()
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / ".DS_Store").write_text("x")
    assert not run.has_checkpoints()


def test_a_link_to_a_checkpoint_is_pruned_without_its_files(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "far", 100)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "100").symlink_to(elsewhere)
    with Checkpointer(tmp_path / "run", keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        for step in (200, 300):
            checkpointer.save(step, make(step), OPTIMIZER.init(make(step)), progress={})
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["300"]
    verify(elsewhere)


def forge(saved: Path, **fields: Any) -> None:
    """Writes a manifest with changed fields and a valid hash."""
    manifest = read_manifest(saved)
    write_manifest(saved, manifest.model_copy(update=fields))


@pytest.mark.parametrize("name", ["/etc/passwd", "../100/manifest.json", "parameters//_METADATA", "./x"])
def test_a_manifest_that_points_outside_is_refused(saved: Path, name: str) -> None:
    files = read_manifest(saved).files
    forge(saved, files=[*files, files[0].model_copy(update={"name": name})])
    message = f"{saved}/manifest.json: lists {name!r}, which is not a path inside the checkpoint"
    assert refusal(verify, saved) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format 2, but this version reads format 1 only"),
        ({"step": -1}, "not a manifest: step: Input should be greater than or equal to 0"),
        ({"extra": 1}, "not a manifest: extra: Extra inputs are not permitted"),
        ({"files": [{"name": "x", "size": -1, "sha256": ""}]}, "not a manifest: files.0.size: Input should be greater"),
        ({"progress": None}, "not a manifest: progress: Input should be a valid dictionary"),
    ],
)
def test_a_manifest_of_another_form_is_refused(saved: Path, fields: dict[str, Any], message: str) -> None:
    forge_text(saved, json.dumps(read_manifest(saved).model_dump() | fields)[1:])
    assert refusal(verify, saved).startswith(f"{saved}/manifest.json: {message}")


@pytest.mark.parametrize("text", ["", '"x": ' + "[" * 100_000, '"x": \x00}', "}}"])
def test_a_manifest_that_is_no_json_is_refused(saved: Path, text: str) -> None:
    forge_text(saved, text)
    assert refusal(verify, saved).startswith(f"{saved}/manifest.json: not a manifest: ")


def forge_text(saved: Path, text: str) -> None:
    """Writes any text as a manifest with a valid hash."""
    from dragoman.runs.manifest import first_line

    (saved / "manifest.json").write_bytes(first_line(text.encode()) + b"\n" + text.encode())


def test_a_huge_manifest_is_refused_unread(saved: Path) -> None:
    with (saved / "manifest.json").open("wb") as stream:
        stream.truncate(1 << 40)
    assert "1099511627776 bytes, expected a manifest of at most" in refusal(verify, saved)


def test_other_shapes_dtypes_and_names_are_refused_naming_the_parameter(saved: Path) -> None:
    template = abstract(make(100))
    layer = template["encoder"]["layers"][0]

    def with_kernel(**changed: Any) -> str:
        return refusal(restore_parameters, saved, {**template, "encoder": {"layers": [layer | changed]}})

    where = f"{saved}/parameters: encoder/layers/0/"
    wide = jax.ShapeDtypeStruct((8, 32), jnp.float32)
    assert with_kernel(kernel=wide) == f"{where}kernel has shape (8, 16), expected (8, 32)"
    half = jax.ShapeDtypeStruct((8, 16), jnp.bfloat16)
    assert with_kernel(kernel=half) == f"{where}kernel is float32, expected bfloat16"
    assert with_kernel(gain=wide) == f"{where}gain is missing; expected one of shape (8, 32)"
    less = {"encoder": {"layers": [{"kernel": layer["kernel"]}]}, "scale": template["scale"]}
    assert refusal(restore_parameters, saved, less) == f"{where}bias has shape (3,), expected no such array"
    message = refusal(restore_optimizer, saved, abstract(optax.adam(1e-3).init(make(100))))
    assert message.startswith(f"{saved}/optimizer: 0/count is missing")


def test_an_error_of_orbax_names_the_directory(saved: Path) -> None:
    (saved / "parameters" / "_METADATA").write_text("[]")
    forge(saved, files=checkpoints.list_files(saved))
    assert refusal(restore_parameters, saved).startswith(f"{saved}/parameters: cannot be restored: ")


def test_arrays_other_than_those_saved_are_refused(saved: Path) -> None:
    forge(saved, parameters_sha256="0" * 64)
    message = f"{saved}/parameters: the arrays read are not those saved: their SHA-256 differs"
    assert refusal(restore_parameters, saved) == message


def test_damaged_steps_are_skipped_with_a_warning(original: Path, tmp_path: Path) -> None:
    for step in ("9", "10", "100", "x"):
        shutil.copytree(original, tmp_path / step)
    warnings: list[str] = []
    assert steps(tmp_path) == [9, 10, 100]
    assert latest(tmp_path, warn=warnings.append) == tmp_path / "100"
    (tmp_path / "100" / "manifest.json").unlink()
    (tmp_path / "10" / "parameters" / "_METADATA").write_text("")
    assert latest(tmp_path, warn=warnings.append) == tmp_path / "9"
    assert len(warnings) == 2
    assert warnings[0].startswith(f"{tmp_path}/100/manifest.json: missing")
    assert warnings[1].startswith(f"{tmp_path}/10/parameters/_METADATA: 0 bytes")
    assert all(line.endswith("; skipped") for line in warnings)
    assert (steps(tmp_path / "none"), latest(tmp_path / "none", warn=pytest.fail)) == ([], None)


def test_the_best_is_of_highest_bleu_the_average_on_a_tie_and_the_latest_without_any(
    original: Path, tmp_path: Path
) -> None:
    def place(name: str, bleu: float | None) -> None:
        shutil.copytree(original, tmp_path / name)
        step = 3 if name == "average" else int(name)
        forge(tmp_path / name, step=step, validation=None if bleu is None else {"bleu": bleu})

    def chosen(warn: Callable[[str], None] = pytest.fail) -> str:
        path = best(tmp_path, metric="bleu", warn=warn)
        assert path is not None
        return path.name

    assert best(tmp_path, metric="bleu", warn=pytest.fail) is None
    place("2", None)
    place("3", None)
    place("average", None)
    assert chosen() == "3"
    place("4", 20.0)
    place("5", 30.0)
    place("6", 30.0)
    place("7", None)
    assert chosen() == "6"
    forge(tmp_path / "average", validation={"bleu": 30.0})
    assert chosen() == "average"
    warnings: list[str] = []
    (tmp_path / "average" / "parameters" / "_METADATA").write_text("")
    (tmp_path / "6" / "manifest.json").write_text("")
    assert chosen(warnings.append) == "5"
    assert [line.rpartition("/")[2].partition(":")[0] for line in warnings] == ["manifest.json", "_METADATA"]


def test_a_metric_where_smaller_is_better_keeps_and_chooses_the_smallest(tmp_path: Path) -> None:
    x = {"x": jnp.ones(2)}
    with Checkpointer(tmp_path, keep_last=1, keep_best=2, metric="ter", hashes=HASHES) as checkpointer:
        for step, (bleu, ter) in enumerate(((9.0, 70.0), (8.0, 50.0), (7.0, 60.0), (6.0, 80.0)), start=1):
            checkpointer.save(step, x, x, progress={}, validation={"bleu": bleu, "ter": ter})
    assert steps(tmp_path) == [2, 3, 4]
    assert best(tmp_path, metric="ter", warn=pytest.fail) == tmp_path / "2"
    assert best_steps(tmp_path, 2, metric="ter", warn=pytest.fail) == [tmp_path / "2", tmp_path / "3"]
    assert best(tmp_path, metric="bleu", warn=pytest.fail) == tmp_path / "2"
    assert best(tmp_path, metric="chrf", warn=pytest.fail) == tmp_path / "4"  # none has a score


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


def test_scores_on_another_validation_set_are_not_compared(tmp_path: Path) -> None:
    """The old best ones stay until as many have been scored on the new set, but nothing is chosen from them."""
    x = {"x": jnp.ones(2)}
    validations = [
        (40.0, "old"),
        (50.0, "old"),
        (60.0, None),
        (10.0, "new"),
        (20.0, "new"),
        (None, "new"),
        (15.0, "new"),
    ]
    kept, chosen = [], []
    with Checkpointer(tmp_path, keep_last=1, keep_best=2, hashes=HASHES) as checkpointer:
        for step, (bleu, name) in enumerate(validations, start=1):
            validation = None if bleu is None else {"bleu": bleu}
            checkpointer.save(step, x, x, progress={}, validation=validation, validation_set=name)
            checkpointer.wait()
            kept.append(steps(tmp_path))
            chosen.append(best(tmp_path, metric="bleu", warn=pytest.fail))
            if step == 2:
                checkpointer.save_average(x, steps=[1, 2], validation={"bleu": 70.0}, validation_set="old")
    assert kept == [[1], [1, 2], [2, 3], [3, 4], [3, 5], [3, 5, 6], [3, 5, 7]]
    # Step 3 is of an earlier version, which did not record the set.
    assert [path and path.name for path in chosen] == ["1", "2", "average", "3", "3", "3", "3"]
    assert [path.name for path in best_steps(tmp_path, 9, metric="bleu", warn=pytest.fail)] == ["3", "5", "7"]
    forge(tmp_path / "3", validation_set="old")
    assert best(tmp_path, metric="bleu", warn=pytest.fail) == tmp_path / "5"
    assert [path.name for path in best_steps(tmp_path, 9, metric="bleu", warn=pytest.fail)] == ["5", "7"]


def test_a_new_checkpoint_is_kept_even_if_a_later_one_is_damaged(original: Path, tmp_path: Path) -> None:
    for step in ("10", "200"):
        shutil.copytree(original, tmp_path / step)
    (tmp_path / "200" / "parameters" / "_METADATA").write_text("")
    with Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
        checkpointer.save(20, make(1), make(2), progress={})
    assert latest(tmp_path, warn=lambda _: None) == tmp_path / "20"


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


def test_an_error_in_the_background_surfaces_at_the_next_call_and_leaves_nothing(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES)
    checkpointer.save(1, make(1), make(1), progress={})
    checkpointer.save(2, {"x": jnp.zeros((0, 3))}, make(2), progress={})  # orbax takes no empty arrays
    message = refusal(lambda: checkpointer.save(3, make(3), make(3), progress={}))
    assert message.startswith(f"{tmp_path}/2: could not be saved: ValueError: Cannot save arrays with zero size")
    checkpointer.save(3, {"x": jnp.zeros((0, 3))}, make(2), progress={})
    assert f"{tmp_path}/3: could not be saved" in refusal(checkpointer.close)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_opening_finishes_a_complete_leftover_and_clears_the_others(original: Path, tmp_path: Path) -> None:
    for name in ("1", "2.removed", "3.partial", "4.partial", "5.partial", "5", "notes.partial"):
        shutil.copytree(original, tmp_path / name)
    (tmp_path / "4.partial" / "manifest.json").unlink()
    (tmp_path / "5" / "manifest.json").unlink()
    Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "5", "notes.partial"]
    assert latest(tmp_path, warn=pytest.fail) == tmp_path / "5"


class Crash(BaseException):
    """Simulates the end of the process: no handler of ours catches it, so nothing is cleaned up."""


class Fault:
    """An audit hook that raises at the n-th file opened, renamed, made or removed below a directory."""

    def __init__(self) -> None:
        self.directory, self.left, self.error = "", 0, BaseException()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left and event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}:
            path = arguments[0]
            if isinstance(path, str | Path) and str(path).startswith(self.directory):
                self.left -= 1
                if not self.left:
                    raise self.error


@pytest.fixture(scope="module")
def fault() -> Fault:
    return Fault()


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")], ids=["crash", "full disk"])
def test_a_save_that_fails_at_any_file_operation_costs_no_checkpoint(
    original: Path, tmp_path: Path, fault: Fault, error: BaseException, every: int
) -> None:
    x = {"x": np.arange(3.0, dtype=np.float32)}
    outcomes, operation, is_over = set(), 1 - every, False
    while not is_over:
        operation += every
        directory = tmp_path / str(operation)
        shutil.copytree(original, directory / "100")
        checkpointer = Checkpointer(directory, keep_last=1, keep_best=0, hashes=HASHES)
        fault.directory, fault.left, fault.error = str(directory), operation, error
        try:
            checkpointer.save(200, x, x, progress={})
            checkpointer.close()
            outcomes.add("saved")
        except Crash:
            outcomes.add("crashed")
        except InputError as found:
            expected = r"/200: could not (be saved|take its place): .*No space left"
            outcomes.add("refused" if re.search(expected, str(found)) else str(found))
        is_over, fault.left = fault.left > 0, 0
        assert latest(directory, warn=lambda _: None) is not None
        with Checkpointer(directory, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
            assert latest(directory, warn=pytest.fail) is not None
            checkpointer.save(200, x, x, progress={})
        assert [path.name for path in directory.iterdir()] == ["200"]
        shutil.rmtree(directory)
    assert operation > 20
    assert outcomes == {"saved", "crashed" if isinstance(error, Crash) else "refused"}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.run import Run
from dragoman.runs.selection import latest
directory = Path(sys.argv[1])
with Checkpointer(directory, keep_last=2, keep_best=1, hashes={}) as checkpointer:
    found = latest(directory, warn=lambda line: sys.exit(line))
    first = step = int(found.name) if found else 0
    while True:
        step += 1
        x = {"x": np.full((300, 300), step, np.float32), "y": {"z": np.full(7, step, np.float32)}}
        checkpointer.save(step, x, x, progress={"step": step}, validation={"bleu": float(-step)})
        if step == first + 2:  # the save before this one is complete
            print(first + 1, flush=True)
"""


def test_a_writer_killed_at_any_time_leaves_its_last_checkpoint_whole(tmp_path: Path) -> None:
    chance, reached = random.Random(2), 0
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            started = int(process.stdout.readline())
            assert started >= reached
            time.sleep(0.2 + 0.3 * chance.random())
            process.send_signal(signal.SIGKILL)
        found = latest(tmp_path, warn=pytest.fail)
        assert found is not None
        reached = int(found.name)
        assert verify(found).progress == {"step": reached}
        expected = {"x": np.full((300, 300), reached, np.float32), "y": {"z": np.full(7, reached, np.float32)}}
        assert_same(restore_parameters(found), expected)
        assert_same(restore_optimizer(found, abstract(expected)), jax.tree.map(jnp.asarray, expected))
    assert len([path for path in tmp_path.iterdir() if "." not in path.name]) <= 4
