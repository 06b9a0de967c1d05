"""What an evaluation says of its texts: warnings, overlap, words by frequency, and disturbed copies of a test set."""

import shutil

import pytest

from data.sources import load_corpora
from dragoman.evaluation.evaluation import Task, evaluate
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.results import Evaluation, Outputs, System
from dragoman.evaluation.supplements import warnings
from dragoman.evaluation.systems import Selection, find_systems
from dragoman.evaluation.table import show
from dragoman.evaluation.training_text import FILE, remember
from dragoman.runs.run import Run
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests/golden/run"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """An evaluation of a run and of a shuffled text on a test set of which 5 lines occur in the training text."""
    directory = tmp_path_factory.mktemp("supplements")
    run = Run(shutil.copytree(GOLDEN, directory / "run"))
    data = run.load_config().data
    pairs = [*load_corpora(data, "test")[0].pairs[:35], *load_corpora(data, "train")[0].pairs[:5]]
    remember(load_corpora(data, "train")).save(run.path / FILE)
    test_set = TestSet("test", [pair.source for pair in pairs], [[pair.target for pair in pairs]], "de", "en")
    candidates = find_systems([str(run.path)], Selection(), {}, ensembles={}, groups={})
    tokenised = [[line.replace(" ", " , ") + " ." for line in test_set.reference]]
    task = Task(candidates, {"theirs": tokenised}, [test_set], samples=0, perturb=("typos", "words", "paragraphs"))
    return evaluate(task, Kept(directory / "cache"))


def test_lines_in_the_training_text_are_found_for_the_run_and_not_for_a_text(found):
    [record] = found.supplements["overlap"]
    assert record.overlap.numbers() == [35, 36, 37, 38, 39]
    assert set(record.scores) == {"with", "without", "only"}


def test_words_are_looked_up_in_the_training_text_of_the_run_for_a_text_too(found):
    assert [one.system for one in found.supplements["word_f1"]] == [record.system.name for record in found.results]
    assert all(sum(bucket.reference for bucket in one.buckets) for one in found.supplements["word_f1"])


def test_disturbed_copies_are_translated_and_what_cannot_be_made_is_a_note(found):
    assert [one.kind for one in found.supplements["robustness"]] == ["typos", "words"]
    notes = "\n".join(found.notes)
    assert "test: no paragraphs: of 40 lines, 0 end with a full stop" in notes


def test_a_text_that_looks_tokenised_is_told(found):
    assert [note for note in found.notes if note.startswith("theirs on test looks tokenised")]


def test_all_of_it_is_shown_and_written(found):
    shown = show(found)
    for words in ("disturbed by", "test, ", "5 of 40 lines occur in the training text", "word F1", "looks tokenised"):
        assert words in shown


def test_translations_of_a_run_that_look_tokenised_are_told_of_too():
    test_set = TestSet("test", ["A dog runs."] * 9, [["Ein Hund läuft."] * 9], "de")
    outputs = [
        Outputs(System(name, kind, run=name), test_set, ["Ein Hund läuft ."] * 9)
        for name, kind in (("a", "run"), ("source copied", "baseline"))
    ]
    told = "a on test looks tokenised, and the references do not: detokenise it, since BLEU tokenises for itself"
    assert warnings(Evaluation([test_set], outputs, []), {}) == [told]
