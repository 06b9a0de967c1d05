"""The time until validation reaches a score, from the logs of finished runs."""

import json
from pathlib import Path

import pytest

from benchmarks import time_to_score
from data.errors import InputError
from dragoman.evaluation.held_out import own_test_sets
from dragoman.evaluation.metrics import METRICS
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.tiny_run import CONFIG, make_run
from transformer.config import TrainingConfig


def finished_run(directory: Path, bleu: dict[int, float], *, kept: dict[int, float] | None = None, **training) -> str:
    """A run with checkpoints and a log: 2 s per update, 7 s of compilation before them, 20 s per validation."""
    config = CONFIG.model_copy(update={"training": TrainingConfig(**training)})
    make_run(directory, config, bleu=kept or bleu)
    clock = 1000.0
    for step in range(5, 35, 5):
        compilation = 7.0 if step == 5 else 0.0
        clock += 5 * 2 + compilation
        about = {"step": step, "time": clock, "learning_rate": 0.1, "compile_seconds": compilation}
        Run(directory).append_metrics(about)
        if step in bleu:
            clock += 20
            Run(directory).append_metrics({"step": step, "time": clock, "bleu": bleu[step]})
    return str(directory)


def test_the_time_to_a_score_is_that_of_validation_and_only_tuned_runs_meet_the_test_set(tmp_path, capsys):
    """Step 20 is reached after 20 x 2 s of updates, 7 s of compilation and the validations of steps 10 and 20."""
    scores = {10: 1.0, 20: 5.0, 30: 9.0}
    free = {"optimizer": "schedule_free", "schedule": "constant"}
    runs = [
        finished_run(tmp_path / "slow", scores | {20: 3.0}, learning_rate=0.003),
        finished_run(tmp_path / "fast", scores, learning_rate=0.001),
        finished_run(tmp_path / "worse", scores | {20: 4.5}, learning_rate=0.002),
        finished_run(tmp_path / "pruned", scores, kept={10: 1.0, 30: 9.0}, **free),
        finished_run(tmp_path / "never", {10: 1.0, 30: 3.5}, optimizer="muon"),
        finished_run(tmp_path / "lost", scores, kept={10: 1.0}, optimizer="muon", learning_rate=0.1),
    ]
    time_to_score.main([*runs, "--validation", "4", "--target", "99"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    found = {Path(row["run"]).name: row for row in json.loads(last)}
    assert {name: row["step"] for name, row in found.items()} == {
        "slow": 30, "fast": 20, "worse": 20, "pruned": 30, "never": None, "lost": None
    }  # fmt: skip
    assert found["fast"]["minutes"] == pytest.approx((20 * 2 + 7 + 2 * 20) / 60)
    assert found["fast"]["training_minutes"] == pytest.approx(20 * 2 / 60)
    assert {name for name, row in found.items() if "bleu" in row} == {"fast", "pruned"}
    [test_set] = own_test_sets(CONFIG, "test")
    translator = Translator.load(f"{runs[1]}/checkpoints/20")
    metric = METRICS["bleu_lowercased_tokenized"]
    expected = metric.score(translator.translate(test_set.sources), test_set.reference, "de").score
    assert found["fast"]["bleu_lowercased_tokenized"] == expected
    lines = {line.rpartition("/")[2]: line for line in shown}
    assert " no " in lines["fast"]
    assert " no " not in lines["slow"]
    assert " 30* " in lines["pruned"]
    assert "not reached: best validation BLEU 3.50" in lines["never"]
    assert "reached, but no checkpoint is kept" in lines["lost"]
    assert shown[-1].startswith("*: an earlier validation reached it")


def test_a_log_too_short_to_tell_the_pace_is_refused(tmp_path):
    run = Run(make_run(tmp_path / "run"))
    run.append_metrics({"step": 10, "time": 1.0, "bleu": 9.0})
    with pytest.raises(InputError, match=r"metrics.jsonl: does not begin with two lines of training: lower training.l"):
        time_to_score.main([str(run.path), "--validation", "4"])
