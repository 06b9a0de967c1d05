"""Training as a user runs it, to its end: what it logs, keeps, prints and learns."""

import json

import pytest

from data.sources import load_corpora
from dragoman.commands import evaluate as evaluate_command
from dragoman.commands import train as train_command
from dragoman.evaluation.training_text import FILE, TrainingText
from dragoman.runs.manifest import verify
from dragoman.runs.run import Run
from tests.support.tiny_training import fingerprints, program, steps_of


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


def test_pre_trained_vectors_start_the_embeddings_and_are_counted(recipe, tmp_path, capsys):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("2 16\nred " + " ".join(["0.5"] * 8 + ["-0.5"] * 8) + "\nunseen " + " ".join(["1"] * 16) + "\n")
    options = ["--model.source_vectors", str(vectors), "--training.steps", "1", "--data.vocabulary_size", "330"]
    options += ["--data.batching", "bucketed"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options]) == 0
    assert "word vectors: 1 of 330 pieces found" in capsys.readouterr().out


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
