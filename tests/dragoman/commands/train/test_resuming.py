"""Training killed and restarted, stopped by a signal, damaged, and changed on resuming."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from data.errors import InputError
from dragoman.commands import train as train_command
from dragoman.runs.manifest import verify
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT
from tests.support.tiny_training import fingerprints, program, start, steps_of, wait_for
from transformer.model.dense import resolve_precision


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_parameters(finished, recipe, tmp_path):
    run, chooser = Run(tmp_path / "killed"), random.Random(time.time_ns())
    for step in (4, 8, 16):
        process = start(recipe, run.path)
        wait_for(run.checkpoints / str(step), process)
        time.sleep(chooser.uniform(0, 0.3))
        process.kill()
        process.communicate()
    done = program("train.py", recipe, "--run", run.path)
    assert done.returncode == 0, done.stderr
    whole, killed = fingerprints(finished), fingerprints(run)
    assert killed["20"] == whole["20"]
    assert killed["average"] == whole["average"]
    assert steps_of(run, "bleu") == steps_of(finished, "bleu")
    assert steps_of(run, "learning_rate") == sorted(set(steps_of(run, "learning_rate")))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_run_resumes_to_the_same_parameters(finished, recipe, tmp_path, number, status):
    run = Run(tmp_path / "stopped")
    process = start(recipe, run.path)
    wait_for(run.checkpoints / "4", process)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == status, errors
    assert program("train.py", recipe, "--run", run.path).returncode == 0
    assert fingerprints(run)["20"] == fingerprints(finished)["20"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_while_the_first_update_compiles_ends_training_at_once(recipe, tmp_path, number, status):
    """Twelve layers compile for half a minute, and nothing could be saved after it."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored, as under nohup")
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, ROOT / "train.py", recipe, "--run", tmp_path / "run", "--model.encoder_layers", "12"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    assert process.stderr is not None
    while (line := process.stderr.readline()) and not line.startswith("compiling the update for shape 1 of 1"):
        pass
    start = time.monotonic()
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors.strip().rpartition(chr(10))[2]) == (
        status,
        f"stopped by {number.name}: nothing was left to save; run the same command again",
    )
    assert time.monotonic() - start < 10
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_after_a_flipped_bit_training_resumes_one_step_earlier_and_translation_is_an_error(finished, recipe, tmp_path):
    run = Run(tmp_path / "damaged")
    subprocess.run(["cp", "-r", finished.path, run.path], check=True)
    victim = max((run.checkpoints / "20" / "parameters").rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    refused = program("translate.py", run.path, "--checkpoint", "20")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert victim.name in refused.stderr
    resumed = program("train.py", recipe, "--run", run.path)
    assert resumed.returncode == 0, resumed.stderr
    assert victim.name in resumed.stderr
    assert "resuming at step 16" in resumed.stdout
    assert fingerprints(run)["20"] == fingerprints(finished)["20"]


@pytest.mark.slow
def test_a_run_without_its_checkpoints_says_that_it_begins_again(finished, recipe, tmp_path):
    run = Run(shutil.copytree(finished.path, tmp_path / "emptied"))
    shutil.rmtree(run.checkpoints)
    again = program("train.py", recipe, "--run", run.path)
    assert "the run has no checkpoint: training begins again at step 1" in again.stdout, again.stderr
    assert fingerprints(run)["20"] == fingerprints(finished)["20"]
    assert steps_of(run, "learning_rate") == steps_of(finished, "learning_rate")


@pytest.mark.slow
def test_a_run_goes_on_with_another_validation_to_the_same_parameters(finished, recipe, tmp_path):
    """How a run is validated does not change what is learned. Scores of before are of another set."""
    for language in ("en", "de"):
        text = (recipe.parent / f"train.{language}").read_text().split("\n")[:6]
        (tmp_path / f"other.{language}").write_text("\n".join(text) + "\n")
    command, run = ["train.py", recipe, "--run", tmp_path / "run"], Run(tmp_path / "run")
    assert program(*command, "--training.steps", 8).returncode == 0
    first = verify(run.checkpoints / "8")
    other = [["--data.validation", f'[["{tmp_path}/other.en", "{tmp_path}/other.de"]]'], ["--training.metric", "chrf"]]
    done = program(*command, "--training.validate_every", 4, *other[0], *other[1])
    assert "the validation set or its search has changed: " in done.stdout, done.stderr
    assert fingerprints(run)["20"] == fingerprints(finished)["20"]
    last = verify(run.checkpoints / "20")
    assert first.validation_set != last.validation_set
    found = {record["step"]: record["chrf"] for record in run.read_metrics() if "bleu" in record}
    assert list(found) == [8, 12, 16, 20]  # also where training went on
    assert last.progress["best"] == max(found.values())


def test_a_run_stores_its_precision_and_an_older_run_without_one_resumes(finished, recipe, tmp_path):
    usual = resolve_precision("auto")
    assert finished.load_config().model.precision == usual
    run = Run(shutil.copytree(finished.path, tmp_path / "older"))
    text = run.config_path.read_text(encoding="utf-8")
    run.config_path.write_text(text.replace(f'precision = "{usual}"', 'precision = "auto"'), encoding="utf-8")
    assert run.load_config().model.precision == "auto"
    assert Translator.load(run.path).translate(["nice red houses"]) == Translator.load(finished.path).translate(
        ["nice red houses"]
    )
    assert train_command.main([str(recipe), "--run", str(run.path)]) == 0
    assert run.load_config() == finished.load_config()


def test_a_run_is_not_resumed_with_another_model(finished, recipe):
    with pytest.raises(InputError, match=r"model\.width"):
        train_command.main([str(recipe), "--run", str(finished.path), "--model.width", "32"])


@pytest.mark.parametrize("damage", ["emptied", "replaced", "not text"])
def test_a_damaged_vocabulary_is_reported_before_it_is_used(finished, tmp_path, damage):
    run = Run(shutil.copytree(finished.path, tmp_path / "run"))
    path = run.tokenizer_paths(run.load_config())[0]
    model = path.read_bytes()
    piece = "\u2581houses".encode()
    assert piece in model
    other = {"emptied": b"", "replaced": model.replace(piece, piece[:-1] + b"z")}
    path.write_bytes(other.get(damage, model.replace(piece, b"\xff" + piece[1:])))
    with pytest.raises(InputError, match=r"/checkpoints/20: was made with another tokenizer: SHA-256 .*, found "):
        train_command.main(["--run", str(run.path), "--training.steps", "24"])
    (run.checkpoints / "20" / "manifest.json").write_text("")
    with pytest.raises(InputError, match=r"/checkpoints/16: was made with another tokenizer: SHA-256 .*, found "):
        train_command.main(["--run", str(run.path), "--training.steps", "24"])


@pytest.mark.parametrize("named", ["the run alone", "its recipe too"])
def test_an_emptied_config_of_a_run_with_checkpoints_is_reported(finished, recipe, tmp_path, named):
    run = Run(shutil.copytree(finished.path, tmp_path / "run"))
    run.config_path.write_text("")
    with pytest.raises(InputError, match=r"run/config\.toml: damaged: lacks data\.corpus and .*: restore the file$"):
        train_command.main([*[str(recipe)] * (named == "its recipe too"), "--run", str(run.path)])
    assert run.config_path.read_text() == ""


def test_a_second_trainer_of_one_run_is_refused_and_names_the_first(finished, recipe):
    with finished.lock():
        refused = program("train.py", recipe, "--run", finished.path)
    assert refused.returncode == 2
    assert str(os.getpid()) in refused.stderr
