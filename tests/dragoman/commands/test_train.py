"""Training as a user runs it: to the end, killed and restarted, stopped by a signal, and rejected in one line."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from data.errors import InputError
from data.sources import load_corpora
from dragoman.commands import evaluate as evaluate_command
from dragoman.commands import train as train_command
from dragoman.evaluation.training_text import FILE, TrainingText
from dragoman.runs.manifest import verify
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.paths import ROOT
from transformer.devices import STRATEGIES
from transformer.devices.mesh import MeshStrategy
from transformer.model.dense import resolve_precision

WORDS = {
    "one": "eins",
    "two": "zwei",
    "three": "drei",
    "four": "vier",
    "nice": "schoen",
    "houses": "haeuser",
    "red": "rot",
}
RECIPE = """
[data]
directory = "{directory}"
vocabulary_size = 320
subword_sampling = 0.2
maximum_tokens = 32
batching = "packed"
row_length = 32
shuffle_block = 50

[model]
encoder_layers = 1
decoder_layers = 1
width = 16
heads = 2
feed_forward = 32
maximum_length = 40
dropout = 0.1

[training]
seed = 5
steps = {steps}
batch_tokens = 256
learning_rate = 0.01
warmup_steps = 5
log_every = 3
save_every = 4
validate_every = 8
keep_best = 2

[decoding]
beam = 2
rows = 8
"""


def write_corpus(directory: Path) -> None:
    """Sentences of three to five words, translated word for word."""
    chooser = random.Random(0)
    for split, count in (("train", 120), ("validation", 10), ("test", 10)):
        sentences = [chooser.choices(list(WORDS), k=chooser.randint(3, 5)) for _ in range(count)]
        (directory / f"{split}.en").write_text("".join(" ".join(words) + "\n" for words in sentences))
        (directory / f"{split}.de").write_text("".join(" ".join(map(WORDS.get, words)) + "\n" for words in sentences))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("corpus")
    write_corpus(directory)
    path = directory / "tiny.toml"
    path.write_text(RECIPE.format(directory=directory, steps=20))
    return path


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory) -> Run:
    """A run that the program trained to its end without interruption."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    done = program("train.py", recipe, "--run", path)
    assert done.returncode == 0, done.stderr
    return Run(path)


def program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / name, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def start(recipe: Path, run: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, ROOT / "train.py", recipe, "--run", run, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)


def fingerprints(run: Run) -> dict[str, tuple[str, str | None]]:
    """The hashes of parameters and optimiser of every checkpoint."""
    manifests = {path.name: verify(path) for path in run.checkpoints.iterdir()}
    return {name: (m.parameters_sha256, m.optimizer_sha256) for name, m in manifests.items()}


def steps_of(run: Run, key: str) -> list[int]:
    return [record["step"] for record in run.read_metrics() if key in record]


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_run_keeps_hashes_of_its_training_lines(finished):
    known = TrainingText.load(finished.path / FILE)
    lines = [pair.source for pair in load_corpora(finished.load_config().data, "train")[0].pairs]
    assert known.has_lines(lines, side=0).all()
    assert not known.has_lines([f"{line} and more" for line in lines], side=0).any()


def test_a_run_logs_validates_saves_averages_and_prints_the_next_commands(finished, recipe):
    again = program("train.py", recipe, "--run", finished.path)
    assert again.returncode == 0, again.stderr
    assert "resuming at step 20" in again.stdout
    for expected in ("test set, 10 pairs", "BLEU", "reference", "dragoman translate", "dragoman evaluate"):
        assert expected in again.stdout
    assert steps_of(finished, "learning_rate") == [3, 6, 9, 12, 15, 18, 20]
    assert steps_of(finished, "bleu") == [8, 16, 20]
    assert {"16", "20", "average"} <= set(fingerprints(finished))
    assert sorted(verify(finished.checkpoints / "average").averaged)[-1] <= 20
    line = finished.read_metrics()[0]
    assert set(line) == {
        "step", "time", "loss", "learning_rate", "gradient_norm", "target_tokens_per_second", "padding",
        "waiting_for_data",
        "device_teraflops", "compile_seconds", "peak_memory",
    }  # fmt: skip
    assert 0 < line["padding"] < 1
    assert list((finished.path / "tensorboard").iterdir())
    page = (finished.path / "report.html").read_text(encoding="utf-8")
    assert '<td class="number">20</td>' in page
    assert "of the average of the best checkpoints" in page
    assert "batch shapes, compiled in" in again.stdout


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


def test_training_stops_when_validation_no_longer_improves(recipe, tmp_path, capsys):
    patient = ["--training.patience", "1", "--training.steps", "400", "--training.validate_every", "4"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), *patient]) == 0
    records = [record for record in Run(tmp_path / "run").read_metrics() if "bleu" in record]
    scores, losses = [[record[name] for record in records] for name in ("bleu", "loss")]
    improves = [scores[n] > max(scores[:n]) or losses[n] < min(losses[:n]) for n in range(1, len(records))]
    assert improves == [True] * (len(records) - 2) + [False]
    assert len(scores) < 100
    best = scores.index(max(scores))
    assert f"stopped early at step {records[-1]['step']} of 400: no better BLEU than {scores[best]:.2f} (step " in (
        capsys.readouterr().out
    )


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


def test_the_named_metric_is_logged_chooses_checkpoints_and_stops_training(recipe, tmp_path, capsys):
    """Smaller TER is better, so the best checkpoint has the smallest."""
    options = ["--training.metric", "ter", "--training.patience", "2", "--training.validate_every", "4"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), "--training.steps", "32", *options]) == 0
    run, output = Run(tmp_path / "run"), capsys.readouterr().out
    scores = {record["step"]: record["ter"] for record in run.read_metrics() if "ter" in record}
    best = min(scores, key=lambda step: (scores[step], -step))
    assert verify(run.checkpoints / str(best)).progress["best"] == min(scores.values())
    marked = [int(line.split()[1].rstrip(":")) for line in output.split("\n") if line.endswith("  (best)")]
    assert marked == [step for step in scores if all(scores[step] < scores[s] for s in scores if s < step)]
    assert "(chosen by validation TER):" in output


def test_validation_scores_are_those_that_evaluate_finds_to_the_last_digit(finished, tmp_path):
    """Also the scores of the average. Another process evaluates, on other devices."""
    checkpoints, scores = [finished.checkpoints / name for name in ("16", "average")], tmp_path / "scores.json"
    options = ["--split", "validation", "--json", str(scores)]
    assert evaluate_command.main([*map(str, checkpoints), *options]) == 0
    for checkpoint, result in zip(checkpoints, json.loads(scores.read_bytes())["results"], strict=True):
        logged = verify(checkpoint).validation
        assert [result[name]["score"] for name in ("bleu", "chrf")] == [logged[name] for name in ("bleu", "chrf")]
        assert logged["chrf"] > 0


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


class SmallDevice(MeshStrategy):
    """At step 5, the device runs out of memory for a whole update."""

    def __init__(self, graph, config):
        super().__init__(graph, config)
        self.is_whole = config.training.accumulation == 1

    def train_step(self, state, batch, key):
        if self.is_whole and int(state.step) == 5:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return super().train_step(state, batch, key)


def test_a_run_out_of_memory_resumes_from_its_last_checkpoint_in_more_parts(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "mesh", SmallDevice)
    options = ["--training.steps", "6", "--devices.data", "1"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options]) == 0
    run, output = Run(tmp_path / "run"), capsys.readouterr().out
    assert "out of memory on cpu: continuing from the last checkpoint with training.accumulation 2" in output
    assert "resuming at step 4" in output
    assert run.load_config().training.accumulation == 2
    assert (steps_of(run, "learning_rate"), steps_of(run, "bleu")) == ([3, 6], [6])


AUTO = 'training.batch_tokens = "auto"'


def test_auto_is_reported_with_its_limit_and_becomes_a_number_in_the_config(recipe, tmp_path, capsys):
    """600 tokens allow 18 rows of 32. Eight devices take 16 of them, so that no row is empty."""
    options = ["--training.batch_tokens", "auto", "--training.batch_tokens_limit", "600"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), "--training.steps", "1", *options]) == 0
    output = capsys.readouterr().out
    assert f"{AUTO}: 512 tokens an update (" in output
    assert " of cpu), limited by training.batch_tokens_limit\n" in output
    assert "are padded with empty rows" not in output
    assert Run(tmp_path / "run").load_config().training.batch_tokens == 512


def test_a_resumed_run_keeps_the_number_that_auto_chose_and_reports_padding(recipe, tmp_path, capsys):
    """Nine rows are padded to sixteen. Now auto would find another number."""
    command, run = [str(recipe), "--run", str(tmp_path / "run"), "--training.steps"], Run(tmp_path / "run")
    assert train_command.main([*command, "1", "--training.batch_tokens", "288"]) == 0
    capsys.readouterr()
    assert train_command.main([*command, "2", "--training.batch_tokens", "auto"]) == 0
    output = capsys.readouterr().out
    assert AUTO not in output
    assert "batches are padded with empty rows to a multiple of devices 8 x training.accumulation 1, " in output
    assert "at most 44% of a batch" in output
    assert run.load_config().training.batch_tokens == 288


def test_pre_trained_vectors_start_the_embeddings_and_are_counted(recipe, tmp_path, capsys):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("2 16\nred " + " ".join(["0.5"] * 8 + ["-0.5"] * 8) + "\nunseen " + " ".join(["1"] * 16) + "\n")
    options = ["--model.source_vectors", str(vectors), "--training.steps", "1", "--data.vocabulary_size", "330"]
    options += ["--data.batching", "bucketed"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options]) == 0
    assert "word vectors: 1 of 330 pieces found" in capsys.readouterr().out


def test_diverged_training_is_reported_with_its_step_and_not_saved(recipe, tmp_path):
    options = ["--training.learning_rate", "1e30", "--training.clip", "0", "--training.warmup_steps", "0"]
    with pytest.raises(InputError, match=r"(loss|gradient_norm) is (nan|inf) at step [23]: training has diverged"):
        train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options])
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


BROKEN = [
    ("unknown key", {"width = 16": "widht = 16"}, ["model.widht", "model.width"]),
    ("wrong type", {"width = 16": 'width = "wide"'}, ["model.width"]),
    ("heads", {"heads = 2": "heads = 3"}, ["model.width", "model.heads"]),
    ("negative", {"steps = 20": "steps = -1"}, ["training.steps"]),
    ("dropout", {"dropout = 0.1": "dropout = 1.0"}, ["model.dropout"]),
    ("not a number", {"learning_rate = 0.01": "learning_rate = nan"}, ["training.learning_rate"]),
    ("syntax", {"[model]": "[model"}, ["tiny.toml"]),
    ("unknown section", {"[decoding]": "[decodign]"}, ["decodign"]),
    ("missing directory", {'directory = "': 'directory = "/nowhere'}, ["/nowhere"]),
    ("vocabulary", {"vocabulary_size = 320": "vocabulary_size = 32000"}, ["vocabulary_size"]),
    ("batch", {"batch_tokens = 256": "batch_tokens = 16"}, ["batch_tokens"]),
    ("devices", {"[decoding]": "[devices]\ndata = 64\n[decoding]"}, ["devices.data"]),
    ("language", {"[model]": 'target_language = "german"\n[model]'}, ["data.target_language", "'german'", "mean de?"]),
    ("no test set", {"[model]": 'test = [["none.en", "none.de"]]\n[model]'}, ["none.en"]),
    ("misaligned", {}, ["120", "119"]),
    ("empty", {}, ["train.de"]),
]


@pytest.mark.parametrize(("name", "changes", "expected"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_a_broken_recipe_or_corpus_is_refused_in_one_line_that_names_it(recipe, tmp_path, name, changes, expected):
    text = recipe.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    if name in ("misaligned", "empty"):
        write_corpus(tmp_path)
        lines = (tmp_path / "train.de").read_bytes().split(b"\n")
        (tmp_path / "train.de").write_bytes(b"\n".join(lines[1:]) if name == "misaligned" else b"")
        text = text.replace(str(recipe.parent), str(tmp_path))
    broken = tmp_path / "tiny.toml"
    broken.write_text(text)
    with pytest.raises(InputError) as error:
        train_command.main([str(broken), "--run", str(tmp_path / "run")])
    assert "\n" not in str(error.value)
    for part in expected:
        assert part in str(error.value)


def test_the_program_prints_one_line_and_exits_with_status_2(recipe, tmp_path):
    refused = program("train.py", recipe, "--run", tmp_path / "run", "--model.heads", "3")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "model.heads" in refused.stderr


def test_a_run_is_not_resumed_with_another_model(finished, recipe):
    with pytest.raises(InputError, match=r"model\.width"):
        train_command.main([str(recipe), "--run", str(finished.path), "--model.width", "32"])


def test_a_second_trainer_of_one_run_is_refused_and_names_the_first(finished, recipe):
    with finished.lock():
        refused = program("train.py", recipe, "--run", finished.path)
    assert refused.returncode == 2
    assert str(os.getpid()) in refused.stderr


def test_a_run_that_does_not_exist_needs_a_recipe(tmp_path):
    with pytest.raises(InputError, match="is not a run yet: give a recipe"):
        train_command.main(["--run", str(tmp_path / "none")])


@pytest.mark.exhaustive
@pytest.mark.parametrize("assembly", ["encoder_decoder", "decoder_only"])
def test_the_toy_recipe_learns_to_reverse_unseen_lines(assembly, tmp_path):
    run, output = tmp_path / "toy", tmp_path / "scores.json"
    assert program("train.py", "configs/toy.toml", "--run", run, "--model.assembly", assembly).returncode == 0
    done = program("evaluate.py", run, "--json", output, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    [hypotheses] = (tmp_path / "out").iterdir()
    from data.sources import load_corpora

    [corpus] = load_corpora(Run(run).load_config().data, "test")
    lines = hypotheses.read_text(encoding="utf-8").split("\n")[:-1]
    right = sum(line == pair.target for line, pair in zip(lines, corpus.pairs, strict=True))
    assert right >= 0.99 * len(lines)
    assert json.loads(output.read_text())["results"][0]["bleu"]["score"] > 98
