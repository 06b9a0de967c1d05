import pytest

from dragoman.evaluation.checks import check_outputs
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.results import Outputs, System

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
