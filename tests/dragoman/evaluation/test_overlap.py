import shutil

import pytest

from data.batch import Pair
from data.errors import InputError
from data.sources import load_corpora
from data.sources.corpus import Corpus
from dragoman.evaluation import held_out
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.overlap import (
    OverlapScores,
    find_overlap,
    overlap_lines,
    overlap_table,
    scored_apart,
    training_text_of,
)
from dragoman.evaluation.results import Outputs, System
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.training_text import FILE, remember
from dragoman.runs.run import Run
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG, make_run

LONG = "the quick brown fox jumps over the lazy dog and then it sleeps under a tree for an hour"
LANG = "der schnelle braune Fuchs springt über den faulen Hund und dann schläft er eine Stunde lang unter einem Baum"


def overlap_of(test, training):
    """The overlap of a test set with a training text, both lists of pairs."""
    test_set = held_out.TestSet("test", [pair[0] for pair in test], [[pair[1] for pair in test]])
    corpus = Corpus("train", [Pair(*pair) for pair in training], None, {}, "")
    return test_set, find_overlap(test_set, remember([corpus]))


def test_every_planted_line_is_found_and_nothing_else():
    plain = [(f"{n} {LONG.replace('the', f'x{n}')} {n}", f"{n} {LANG.replace('e', f'{n}')}") for n in range(40)]
    test = [(f"t{number} a new line", f"t{number} neu") for number in range(20)]
    test[3], test[4], test[5] = plain[7], (plain[8][0].upper(), "anders"), ("other", f"  {plain[9][1]}")
    test[9] = (f"They say {plain[10][0]}!", "anders")  # nearly
    test[11] = ("other", f"Man sagt, {LANG}, nun ja")
    _, found = overlap_of(test, [*plain, ("other text", f"{LANG}; und so weiter")])
    assert [tuple(line) for line in found.found] == [
        (3, "exact", ("source", "target")),
        (4, "exact", ("source",)),
        (5, "exact", ("target",)),
        (9, "near", ("source",)),
        (11, "near", ("target",)),
    ]
    assert found.summary() == "3 of 20 lines occur in the training text, and 2 more nearly do"


@pytest.mark.parametrize("shared", [12, 13])
def test_thirteen_words_in_a_row_are_a_near_copy_and_twelve_are_not(shared):
    words = LONG.split()
    _, found = overlap_of([(" ".join([*words[:shared], "but", "no", "more"]), "x")], [(" ".join(words), "y")])
    assert found.numbers("near") == [0] * (shared == 13)


def test_short_lines_can_be_found_exactly_only_and_are_counted():
    _, found = overlap_of([("Yes.", "Ja."), ("Yes!", "Jawohl."), (LONG, "x"), ("", "")], [("yes.", "ja."), ("", "")])
    assert (found.numbers("exact"), found.short) == ([0], 3)


def test_any_of_several_references_counts():
    test_set = held_out.TestSet("test", ["a", "b"], [["x", "y"], ["x", "known"]])
    assert find_overlap(test_set, remember([Corpus("train", [Pair("c", "known")], None, {}, "")])).numbers() == [1]


def test_lines_are_listed_and_scored_apart_as_if_there_were_no_others(tmp_path):
    test = [("known", "ein bekannter Satz"), ("new", "ein neuer Satz"), ("newer", "ein anderer Satz")]
    test_set, found = overlap_of(test, [("Known", "was es ist")])
    outputs = Outputs(System("a", "text"), test_set, ["ein bekannter Satz", "etwas anderes", "ein alter Satz"])
    evaluator = Evaluator(test_set, list(METRICS.values()), Kept(tmp_path), samples=0, trials=0, seed=1)
    scores = scored_apart(evaluator, outputs, found)
    for part, lines in (("with", [0, 1, 2]), ("without", [1, 2]), ("only", [0])):
        hypotheses, references = ([text[n] for n in lines] for text in (outputs.hypotheses, test_set.reference))
        for name, metric in METRICS.items():
            assert scores[part][name] == metric.score(hypotheses, references, test_set.language).score
    record = OverlapScores("a", "run", test_set, found, scores)
    assert overlap_lines([record, record]) == ["run\ttest\t1\texact\tsource\tknown\tein bekannter Satz"]
    header, row = overlap_table([record])
    assert (len(header), row[3:5]) == (len(row), ["1", "0"])
    assert record.as_json()["exact"] == [1]
    _, none = overlap_of(test, [("other", "anders")])
    assert set(scored_apart(evaluator, outputs, none)) == {"with", "without"}


def test_a_run_without_hashes_is_answered_by_its_training_text_if_that_is_the_same(tmp_path):
    golden = ROOT / "tests/golden/run"
    copy = Run(shutil.copytree(golden, tmp_path / "run"))
    checkpoint = copy.checkpoints / "600"
    pair = load_corpora(copy.load_config().data, "train")[0].pairs[0]
    assert training_text_of(copy, checkpoint).has_lines([pair.source], side=0).all()
    remember([Corpus("train", [Pair("kept", "kept")], None, {}, "")]).save(copy.path / FILE)
    assert training_text_of(copy, checkpoint).has_lines(["kept", pair.source], side=0).tolist() == [True, False]


def test_a_large_training_text_is_read_only_if_that_is_asked_for(tmp_path):
    copy = Run(shutil.copytree(ROOT / "tests/golden/run", tmp_path / "run"))
    with pytest.raises(InputError, match="the text has 2,000 pairs: --list-overlap FILE reads it all the same"):
        training_text_of(copy, copy.checkpoints / "600", most=1999)
    training_text_of(copy, copy.checkpoints / "600", most=2000)


def test_what_cannot_be_told_is_said_in_one_line(tmp_path):
    run = Run(make_run(tmp_path / "run"))
    told = "run: the overlap of test sets with its training text is unknown: it keeps no hashes of the text, and "
    with pytest.raises(InputError, match=f"{told}the text has changed since"):
        training_text_of(run, run.checkpoints / "10")
    gone = CONFIG.data.model_copy(update={"corpus": "files", "directory": "/nowhere"})
    run.save_config(CONFIG.model_copy(update={"data": gone}))
    with pytest.raises(InputError, match=f"{told}the text cannot be read: data.directory /nowhere: no train.en"):
        training_text_of(run, run.checkpoints / "10")
