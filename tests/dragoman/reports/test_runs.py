"""What a report takes from runs: their metrics, and how rare words are in their training text."""

import pytest

from data.batch import Pair
from data.sources.corpus import Corpus
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import System
from dragoman.evaluation.training_text import FILE, remember
from dragoman.reports.runs import about_runs, rarest_words
from dragoman.runs.run import Run
from tests.support.tiny_run import CONFIG, make_run

PAIRS = [Pair("ein Hund", "a dog"), Pair("eine Katze", "a cat"), Pair("zwei Hunde", "two dogs, a dog")]
TESTS = [TestSet("new", ["Hund"], [["A dog"]], "en")]


@pytest.fixture
def training():
    return remember([Corpus("text", PAIRS, None, {}, "0" * 64)])


@pytest.fixture
def run(tmp_path, training):
    made = Run(make_run(tmp_path / "run", CONFIG, bleu={10: 1.0, 20: 2.0}))
    made.append_metrics({"step": 10, "loss": 2.0, "bleu": 1.0})
    training.save(made.path / FILE)
    return made


def test_the_rarest_word_of_each_line_is_counted_in_the_training_text(training):
    assert rarest_words(["A dog.", "A cat and a dog", "the", ""], training) == [2, 0, 0, 0]


def test_a_run_tells_its_metrics_and_words_once_however_many_of_its_checkpoints_are_compared(run):
    checkpoints = [System(str(step), "run", str(run.checkpoints / str(step))) for step in (10, 20)]
    texts = [System("theirs", "text", "theirs"), System("both", "ensemble", "both", members=(str(run.path),))]
    about = about_runs([*checkpoints, *texts], TESTS)
    assert about.metrics == {str(run.checkpoints / "10"): run.read_metrics()}
    assert about.rarest == (str(run.checkpoints / "10"), {"new": [2]})
    assert about.notes == ()


def test_a_run_that_remembers_nothing_has_nothing_to_show(tmp_path):
    made = make_run(tmp_path / "run", CONFIG)
    assert about_runs([System("a", "run", str(made))], TESTS) == ({}, None, ())


@pytest.mark.parametrize("name", ["metrics.jsonl", FILE])
def test_damaged_files_are_a_note_and_not_an_error_after_all_the_work(run, name):
    (run.path / name).write_bytes(b"{damaged\n")
    about = about_runs([System("a", "run", str(run.path))], TESTS)
    [note] = about.notes
    assert note.startswith(f"Some of what {run.path} remembers of its training is not shown: ")
    assert name in note
