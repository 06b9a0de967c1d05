"""The report of a run, which training writes."""

import shutil

import pytest

from dragoman.messages import warn_once
from dragoman.reports.training import training_report, update_report
from dragoman.runs.run import Run
from tests.support.paths import ROOT
from transformer.config import Config


@pytest.fixture
def run(tmp_path):
    shutil.copytree(ROOT / "tests" / "golden" / "run", tmp_path / "a <b>run</b>")
    return Run(tmp_path / "a <b>run</b>")


def test_the_report_shows_each_validation_and_each_curve(run):
    update_report(run, run.load_config())
    page = (run.path / "report.html").read_text(encoding="utf-8")
    records = run.read_metrics()
    for record in records:
        shown = [f"step {record['step']}, {record[key]:.4g}</title>" for key in ("loss", "bleu") if key in record]
        assert [title for title in shown if title in page] == shown
    best = max(record.get("bleu", 0) for record in records)
    assert f"BLEU {best:.2f} on the validation set, at step 600." in page
    for heading in ("Validation BLEU", "Validation loss", "Training loss", "Learning rate", "Speed"):
        assert f"<h3>{heading}</h3>" in page


def test_the_name_of_a_run_stays_text(run):
    page = training_report(run.path, run.load_config(), run.read_metrics())
    assert "<b>run" not in page
    assert "a &lt;b&gt;run&lt;/b&gt;" in page


def test_the_report_is_a_function_of_the_run_so_that_training_again_leaves_it_as_it_was(run):
    update_report(run, run.load_config())
    first = (run.path / "report.html").read_bytes()
    update_report(run, run.load_config())
    assert (run.path / "report.html").read_bytes() == first


def test_the_average_is_shown_once_there_is_one(run):
    page = training_report(run.path, run.load_config(), run.read_metrics(), average={"bleu": 71.234})
    assert "<b>71.23</b><span>BLEU of the average of the best checkpoints" in page


def test_a_run_without_validations_or_metrics_has_a_report(tmp_path):
    config = Config()
    assert "Nothing is logged yet." in training_report(tmp_path, config, [])
    record = {"step": 50, "time": 0.0, "loss": 5.0, "learning_rate": 1e-3, "gradient_norm": 1.0}
    page = training_report(tmp_path, config, [record])
    assert "No validation yet: the first is at step" in page
    assert "1 January 1970, 00:00 UTC" in page


def test_settings_that_differ_from_the_defaults_are_listed(tmp_path):
    config = Config.model_validate({"data": {"directory": "<my> text"}, "model": {"width": 64}})
    page = training_report(tmp_path, config, [])
    assert "<dt>width</dt><dd><code>64</code></dd>" in page
    assert "<code>&lt;my&gt; text</code>" in page
    assert "<dt>heads</dt>" not in page


def test_a_report_that_cannot_be_written_is_one_warning_and_training_goes_on(run, capsys):
    warn_once.cache_clear()
    (run.path / "report.html").mkdir()
    for _ in range(2):
        update_report(run, run.load_config())
    [line] = capsys.readouterr().err.strip().split("\n")
    assert line.startswith("warning: ")
    assert "report.html: not up to date (Is a directory); training continues" in line


def test_metrics_of_other_versions_never_break_training(run, capsys):
    warn_once.cache_clear()
    run.append_metrics({"step": 700, "bleu": "high"})
    update_report(run, run.load_config())
    [line] = capsys.readouterr().err.strip().split("\n")
    assert "report.html: not up to date (Type" in line
