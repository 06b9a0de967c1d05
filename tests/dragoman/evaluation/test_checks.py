import pytest

from dragoman.evaluation.checks import check_outputs, notes_about
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import Outputs, System
from dragoman.translation.result import BLANK, without_translation

SOURCES = ["a dog runs on the grass", "two men play", "", "a cat", "one man sleeps there"]
REFERENCES = [["Ein Hund läuft", "Zwei Männer spielen", "", "Eine Katze", "Ein Mann"], ["x", "Zwei", "", "Katze", "y"]]
HYPOTHESES = ["a dog runs on the grass", "Zwei ", "", "Katze Katze Katze Katze Katze", ""]


def checks(**about):
    test_set = TestSet("test", SOURCES, REFERENCES, "de", "en")._replace(**about)
    return check_outputs(Outputs(System("s", "text"), test_set, HYPOTHESES))


def test_odd_outputs_are_counted_with_the_words_of_the_guard():
    found = checks()
    assert found.exact == 2  # the second, and the blank line
    assert found.empty == 1  # the last; the blank line has nothing to translate
    assert (found.copied, found.looping, found.short) == (1, 1, 1)
    length = sum(len("".join(line.split())) for line in HYPOTHESES)
    assert found.length_ratio == pytest.approx(length / sum(len("".join(line.split())) for line in REFERENCES[0]))


def test_a_copy_is_right_within_one_language():
    assert checks(source_language="de-AT").copied == 0
    assert checks(source_language="").copied == 1


def test_lines_that_the_search_left_empty_or_cut_are_told():
    found = [*without_translation("too much is required of it"), BLANK, BLANK._replace(is_finished=False)]
    test_set = TestSet("test", ["a", "", "b"], [["c", "", "d"]])
    notes = notes_about(Outputs(System("s", "run"), test_set, ["", "", ""], translations=found))
    assert notes == [
        "s on test: 1 left empty, such as line 1: too much is required of it.",
        "s on test: 1 met the length limit before their end: see decoding.maximum_ratio and decoding.maximum_extra.",
    ]
    assert notes_about(Outputs(System("s", "text"), test_set, ["", "", ""])) == []
