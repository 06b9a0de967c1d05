"""Damaged checkpoints are never loaded, and what is not theirs does no harm."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from data.reporting import ignore
from dragoman.files import sha256
from dragoman.runs import checkpoint as checkpoints
from dragoman.runs import manifest as manifests
from dragoman.runs.checkpoint import restore_optimizer, restore_parameters
from dragoman.runs.manifest import verify
from dragoman.runs.run import Run
from dragoman.runs.selection import best, latest
from tests.support.small_checkpoint import OPTIMIZER, abstract, assert_same, forge, make, refusal


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
        assert latest(saved.parent, warn=ignore) is None
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
