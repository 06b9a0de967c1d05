"""No output overwrites what is read, whatever its name."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.config import DataConfig
from data.errors import InputError
from dragoman.commands.main import COMMANDS
from dragoman.commands.paths import check_outputs, check_recipe
from dragoman.runs.run import Run
from tests.support.paths import ROOT
from transformer.config import Config


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A directory with an input under several names; it is the working directory."""
    (tmp_path / "a").write_text("text\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dangling").symlink_to("new")
    os.link(tmp_path / "a", tmp_path / "hard")
    for name in ("b.partial", "b.partial.json", "c.gz"):
        (tmp_path / name).write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("a", "a"),
        ("link", "a"),
        ("a", "link"),
        ("hard", "a"),
        ("sub/../a", "a"),
        ("b", "b.partial"),
        ("b", "b.partial.json"),
        ("c.gz", "c"),
        ("dangling", "new"),
    ],
)
def test_an_output_that_is_an_input_is_rejected(files, output, name):
    with pytest.raises(InputError, match=rf"^--output {output} would overwrite the file of --prefix: choose another"):
        check_outputs([("--output", output)], [("--input", None), ("--prefix", name)])
    with pytest.raises(InputError, match=rf"^--json {output} would overwrite the file of --output: choose another"):
        check_outputs([("--output", name), ("--json", output)], [])


def test_other_files_and_devices_are_accepted(files):
    check_outputs([("--output", "d"), ("--json", "e")], [("--input", "a"), ("--terms", "a")])
    check_outputs([("--output", "/dev/null")], [("--input", "/dev/null")])
    check_outputs([("--output", "."), ("--json", "..")], [("--input", "a")])


@pytest.mark.parametrize("output", ["out.de.gz", "out.xz", "sub/out.zst"])
def test_an_output_is_not_named_as_a_compressed_file(files, output):
    suffix = Path(output).suffix
    with pytest.raises(InputError, match=rf"^--output {output} would be plain text in .*: leave {suffix} out, and"):
        check_outputs([("--output", output)], [])


def test_a_pipe_and_a_directory_may_be_named_as_a_compressed_file(files):
    os.mkfifo(files / "pipe.gz")
    (files / "directory.gz").mkdir()
    check_outputs([("--output", "directory.gz"), ("--json", "pipe.gz")], [])


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["translate", "none", "--output", "-"], "--output"),
        (["translate", "none", "--input", "a", "--shard", "1/2", "--output", "-"], "--output"),
        *[(["evaluate", "none", option, "-"], option) for option in ("--json", "--jsonl", "--csv", "--report")],
        *[(["evaluate", "none", option, "-"], option) for option in ("--list-overlap", "--output")],
        (["evaluate", "none", "--sweep", "beam=1", "--report", "-"], "--report"),
        (["evaluate", "none", "--calibrate", "--report", "-"], "--report"),
        *[(["explain", "none", "a", option, "-"], option) for option in ("--output", "--json")],
        (["fill", "none", "a [MASK]", "--json", "-"], "--json"),
        (["prepare", str(ROOT / "configs/toy.toml"), "--json", "-"], "--json"),
        (["export", "none", "model", "--format", "ctranslate2", "--json", "-"], "--json"),
        (["export", "none", "-", "--format", "safetensors"], "DIRECTORY"),
        (["train", "none.toml", "--run", "-"], "--run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_no_output_is_called_by_the_usual_name_of_standard_output(files, command, option):
    before = sorted(path.name for path in files.iterdir())
    message = (
        rf"^{option} -: expected a directory; for one called -, name its full path$"
        if option in ("DIRECTORY", "--run")
        else rf"^{option} -: for standard output, name /dev/stdout; for a file called -, its full path$"
    )
    with pytest.raises(InputError, match=message):
        importlib.import_module(COMMANDS[command[0]].module).main(command[1:])
    assert sorted(path.name for path in files.iterdir()) == before
    check_outputs([("--json", files / "-"), ("--output", "/dev/stdout")], [])


IN_RUN = (
    *("config.toml", "tokenizer.model", "checkpoints/10/new", "link", "report.html"),
    *("source_text.json", "training_text.npz", "calibration.json"),
)


@pytest.mark.parametrize("output", IN_RUN)
@pytest.mark.parametrize("named", ["run", "run/checkpoints/10"])
def test_a_part_of_the_run_is_not_overwritten(files, output, named):
    (files / "run/checkpoints/10").mkdir(parents=True)
    Run("run").save_config(Config())
    (files / "run/tokenizer.model").write_text("", encoding="utf-8")
    (files / "run/link").symlink_to("config.toml")
    with pytest.raises(InputError, match=r"^--output run/.* would overwrite run/.*, a part of the run: choose another"):
        check_outputs([("--output", f"run/{output}")], [], runs=[named])
    check_outputs([("--output", "run/translations.de")], [], runs=[named])


@pytest.mark.parametrize("output", ["text/test.de", "text/train.en", "text/own.model"])
@pytest.mark.parametrize("named", ["run", "run/checkpoints/10"])
def test_the_text_that_the_recipe_of_a_run_names_is_not_overwritten(files, output, named):
    (files / "run/checkpoints/10").mkdir(parents=True)
    (files / "text").mkdir()
    for name in ("train.en.gz", "train.de", "test.en", "test.de", "own.model"):
        (files / "text" / name).write_text("", encoding="utf-8")
    texts = DataConfig(directory="text", test=[["test.en", "test.de"]], tokenizer="text/own.model")
    Run("run").save_config(Config(data=texts))
    with pytest.raises(
        InputError, match=rf"^--json {output} would overwrite the file of data\.\w+: choose another file"
    ):
        check_outputs([("--json", output)], [], runs=[named])
    check_outputs([("--json", "text/new.json")], [], runs=[named])


def test_the_baseline_of_an_evaluation_is_a_run_too(files):
    Run("run").save_config(Config(data=DataConfig(test=[["a", "hard"]])))
    command = [sys.executable, ROOT / "evaluate.py", "none", "--baseline", "run", "--json", "a"]
    done = subprocess.run(command, cwd=files, capture_output=True, text=True, check=False)
    expected = "error: --json a would overwrite the file of data.test: choose another file\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_a_run_does_not_overwrite_its_recipe_and_a_run_resumes_from_its_own_config(files):
    (files / "config.toml").write_text("[model]\nwidth = 32\n", encoding="utf-8")
    (files / "link.toml").symlink_to("config.toml")
    for recipe in ("config.toml", "link.toml"):
        with pytest.raises(InputError, match=rf"^--run \. would overwrite {recipe} with the resolved config: choose"):
            check_recipe(recipe, Run("."))
    check_recipe("config.toml", Run("sub"))
    Run(".").save_config(Config())
    check_recipe("config.toml", Run("."))


@pytest.mark.parametrize(
    ("arguments", "redirected", "message"),
    [
        ("translate.py none --output a", "< a", "--output a would overwrite the file of standard input"),
        ("translate.py none --input a", ">> a", "standard output is redirected to the file of --input"),
        ("translate.py none", "< a >> a", "standard output is redirected to the file of standard input"),
        ("evaluate.py none --source a --reference b --json a", "", "--json a would overwrite the file of --source"),
    ],
)
def test_commands_reject_it_before_they_read_or_write(tmp_path, arguments, redirected, message):
    (tmp_path / "a").write_text("text\n", encoding="utf-8")
    program, *rest = arguments.split()
    command = f"{sys.executable} {ROOT / program} {' '.join(rest)} {redirected}"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"error: {message}: choose another file\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text(encoding="utf-8") == "text\n"
