import random

import pytest

from data.batch import Pair
from data.errors import InputError
from data.sources.corpus import Corpus
from dragoman.evaluation.plausibility import (
    check_line_count,
    warnings_about_blanks,
    warnings_about_hypotheses,
    warnings_about_references,
)
from dragoman.evaluation.training_text import remember
from tests.dragoman.evaluation.test_line_order import REFERENCES as WORDS
from tests.dragoman.evaluation.test_line_order import badly

REFERENCES = [f"{line.capitalize()}, und so." for line in WORDS]
GOOD = [f"{line.capitalize()}, und so." for line in badly(WORDS)]


def shuffled(lines):
    return random.Random(1).sample(lines, len(lines))


@pytest.mark.parametrize(
    ("hypotheses", "told"),
    [
        (GOOD, []),
        ([line.replace(",", " ,").replace(".", " .") for line in GOOD], ["looks tokenised, and the references do not"]),
        ([line.replace("ei", "ei@@ ") for line in GOOD], ["looks tokenised"]),
        ([line.lower() for line in GOOD], ["looks lower-cased, and the references do not"]),
        (shuffled(GOOD), ["looks shuffled, or translates another text"]),
        (
            [*GOOD[:50], *GOOD[51:], "Ende."],
            ["looks shifted: lines 51 to 199 fit the references 1 below theirs; a line is missing before line 51"],
        ),
        (["Neu.", *GOOD[:-1]], ["fit the references 1 above theirs; a line is too many before line 2"]),
    ],
)
def test_what_looks_wrong_with_hypotheses_is_told_in_one_line_each(hypotheses, told):
    found = warnings_about_hypotheses("out.de", hypotheses, REFERENCES)
    assert len(found) == len(told)
    for line, words in zip(found, told, strict=True):
        assert line.startswith("out.de looks")
        assert words in line
        assert "\n" not in line


def test_a_way_of_writing_that_the_references_share_is_not_told():
    lower = [line.lower() for line in REFERENCES]
    assert warnings_about_hypotheses("x", lower, lower) == []
    chinese = ["我爱你。"] * 30
    assert warnings_about_hypotheses("x", chinese, chinese) == []
    french = [line.replace(".", " !") for line in GOOD]
    assert warnings_about_hypotheses("x", french, REFERENCES) == []


def test_references_in_another_script_or_language_are_told():
    sources = [f"x {line}" for line in REFERENCES]
    known = remember([Corpus("train", [Pair("", line) for line in REFERENCES[:100]], None, {}, "")])
    assert warnings_about_references("test", REFERENCES, sources, "de", known) == []
    [told] = warnings_about_references("test", REFERENCES, sources, "ru", known)
    assert told.startswith("100% of the references of test are not in the script of ru (Cyrl)")
    english = [line.replace("o", "y").replace("a", "oo").replace("u", "ee").replace("ei", "th") for line in sources]
    [told] = warnings_about_references("test", english, sources, "de", known)
    assert "are the references in de, the target language of the run?" in told
    assert warnings_about_references("test", english, sources, "de") == []
    assert warnings_about_references("test", english[:2], sources[:2], "de", known) == []


def test_references_that_are_tokenised_or_copies_are_told():
    tokenised = [line.replace(".", " .") for line in REFERENCES]
    [told] = warnings_about_references("test", tokenised, WORDS, "de")
    assert told == "the references of test look tokenised: scores need text as people write it"
    [told] = warnings_about_references("test", REFERENCES, REFERENCES, "de")
    assert told == "most references of test are equal to their sources: is a file given twice?"


def test_lines_without_a_reference_are_told_unless_they_have_no_source():
    sources, first, second = ["a", "", "c", "d"], ["A", "", " ", ""], ["", "", "C", "\t"]
    assert warnings_about_blanks("test", sources, [first, second]) == [
        "1 line has no reference in test, first line 4: all words of a translation count as wrong"
    ]
    [told] = warnings_about_blanks("test", sources, [first])
    assert told.startswith("2 lines have no reference in test, first line 3: ")
    assert warnings_about_blanks("test", sources[:3], [first[:3], second[:3]]) == []


@pytest.mark.parametrize(("count", "told"), [(4, "1 line too many"), (1, "2 lines too few")])
def test_unequal_line_counts_are_refused(count, told):
    with pytest.raises(InputError, match=f"out has {count} lines and test.en has 3, {told}: line n of one must"):
        check_line_count("out", ["x"] * count, "test.en", ["a", "b", "c"])
    check_line_count("out", ["x"] * 3, "test.en", ["a", "b", "c"])
