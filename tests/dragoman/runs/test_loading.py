"""A checkpoint is found by the run's name, by a step or by its path, wherever the run is kept."""

from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.runs.loading import find_checkpoint
from dragoman.runs.manifest import NAME, Manifest, write_manifest
from dragoman.runs.run import Run
from transformer.config import Config


def make_run(path: Path) -> Run:
    """A run with three checkpoints that hold no arrays."""
    run = Run(path)
    run.save_config(Config())
    for name, step, bleu in (("10", 10, 1.0), ("20", 20, 3.0), ("average", 20, 2.0)):
        directory = run.checkpoints / name
        directory.mkdir(parents=True)
        fields = {"averaged": [], "hashes": {}, "parameters_sha256": "", "optimizer_sha256": None, "progress": {}}
        write_manifest(directory, Manifest(format=1, step=step, files=[], validation={"bleu": bleu}, **fields))
    return run


@pytest.fixture(params=["run", "checkpoints/name", "checkpoints/checkpoints", "10/checkpoints/average"])
def run(request, tmp_path) -> Run:
    """Runs in directories whose names are those of the parts of a run."""
    return make_run(tmp_path / request.param)


def test_a_run_is_a_run_wherever_it_is_kept(run, monkeypatch):
    assert find_checkpoint(run.path)[0] == run.checkpoints / "20"
    assert find_checkpoint(run.path, "average")[0] == run.checkpoints / "average"
    for name in ("10", 10, run.checkpoints / "10", str(run.checkpoints / "10")):
        assert find_checkpoint(run.path, name)[0] == run.checkpoints / "10"
    for name in ("10", "average"):
        directory, home = find_checkpoint(run.checkpoints / name)
        assert (directory, home.path) == (run.checkpoints / name, run.path)
    monkeypatch.chdir(run.path)
    assert find_checkpoint(Path("."))[0] == Path("checkpoints/20")
    assert find_checkpoint(Path("checkpoints/10"))[1].path == run.path
    monkeypatch.chdir(run.checkpoints)
    assert find_checkpoint(Path("10"))[1].path == run.path
    monkeypatch.chdir(run.checkpoints / "10")
    assert find_checkpoint(Path("."))[1].path == run.path


def test_a_run_whose_checkpoints_are_kept_elsewhere_has_its_own_config(run, tmp_path):
    other = Run(tmp_path / "other")
    other.save_config(Config())
    other.checkpoints.symlink_to(run.checkpoints)
    assert find_checkpoint(other.checkpoints / "10")[1].path == other.path
    assert find_checkpoint(other.path, 10)[0] == other.checkpoints / "10"


def test_what_is_missing_or_named_twice_is_an_error_that_says_what_there_is(run):
    with pytest.raises(InputError, match=r"no checkpoint '30': expected best, 10, 20, average, or a path"):
        find_checkpoint(run.path, 30)
    with pytest.raises(InputError, match=rf"10 is a checkpoint, and checkpoint '20' .* the run is {run.path}$"):
        find_checkpoint(run.checkpoints / "10", 20)
    with pytest.raises(InputError, match=r"none: no such run directory"):
        find_checkpoint(run.path / "none")
    with pytest.raises(InputError, match=r"checkpoints: not a run: it holds no config.toml"):
        find_checkpoint(run.checkpoints)


def test_a_checkpoint_alone_is_no_run_and_no_place_for_one(run, tmp_path, monkeypatch):
    alone = (run.checkpoints / "10").rename(tmp_path / "alone")
    with pytest.raises(InputError, match=r"alone: is a checkpoint outside of its run: name the run, and this as --ch"):
        find_checkpoint(alone)
    assert find_checkpoint(run.path, alone)[0] == alone
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(run.path, "alone")[0] == Path("alone")
    with pytest.raises(InputError, match=r"alone: is a checkpoint, expected a run directory"), Run(alone).lock():
        pass
    assert [path.name for path in alone.iterdir()] == [NAME]
