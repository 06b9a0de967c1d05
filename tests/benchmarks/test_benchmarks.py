"""Every script has a help, and the call that measures one GPU runs all its parts."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.captions import write_captions
from tests.support.paths import ROOT

SCRIPTS = [
    path.name
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "peer" not in path.name and "ArgumentParser" in path.read_text(encoding="utf-8")
]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_runs_as_its_help_says(script):
    """By its path, from the root of the repository, which is not a package that is installed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, f"benchmarks/{script}", "--help"]
    result = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")


@pytest.mark.exhaustive
def test_the_call_for_one_gpu_runs_every_part_and_ends_with_a_table(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable, "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "out" / "table.txt").read_text()
    assert [line for line in done.stdout.split("\n") if not line.startswith("==> ")] == table.split("\n")
    for pattern in (
        r"train-base +Dragoman, float32 +[\d,]+ tokens/s \(mean [\d,]+\), \S+ TFLOP/s, compiled in \d+ s",
        r"train-big +Dragoman, float32 +[\d,]+ tokens/s \(mean [\d,]+\), \S+ TFLOP/s, compiled in \d+ s",
        r"multi30k +Dragoman +\d+\.\d\d lower-cased BLEU, \d+\.\d\d cased, in \d+\.\d minutes",
        r"decode +Dragoman, float32, beam 4 +[\d,]+ tokens/s",
    ):
        assert re.search(f"^{pattern}$", table, re.MULTILINE), (pattern, table)


@pytest.mark.parametrize(
    ("present", "options", "message"),
    [
        (["out/decode.log"], [], "error: {0}/out/decode.log exists: name a new directory\n"),
        ([], [], "error: {0} holds neither train.en nor train.en.gz\n"),
        ([], ["--only", "train-base,x"], "error: --only: no part x: there are train-base, multi30k, train-big and de"),
        (["train.en", "train.de", "test_2016_flickr.en"], [], "error: {0} holds neither val.en nor val.en.gz\n"),
    ],
)
def test_the_call_for_one_gpu_refuses_what_it_cannot_use_in_one_line(tmp_path, present, options, message):
    for name in present:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(message.format(tmp_path))
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.out"))


def test_a_part_that_its_limit_cuts_off_says_how_far_it_got_and_the_next_one_goes_on(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable, "--tiny"]
    command += ["--limit", "1", "--only", "train-base,train-big"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    table = (tmp_path / "out" / "table.txt").read_text()
    for part in ("train-base", "train-big"):
        assert re.search(rf"^{part} +cut off after 1 s: .+ \(see {part}.log\)$", table, re.MULTILINE), table


def test_the_call_for_one_gpu_refuses_a_python_without_one(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "JAX_PLATFORMS": "cpu"}
    )
    assert (done.returncode, done.stderr) == (2, f"error: {sys.executable}: AssertionError: JAX finds no GPU\n")
    assert not (tmp_path / "out").exists()
