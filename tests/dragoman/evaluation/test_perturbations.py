import re
from random import Random

import pytest

from data.errors import InputError
from data.text.cleaning import clean
from dragoman.evaluation.perturbations import PERTURBATIONS, perturb, without_diacritics

LINES = ["A man in a well-known hat runs 3.5 km, and it's late.", "Über Łódź fährt ein größerer Bus!", "", "你好。"]


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_line_is_disturbed_the_same_wherever_it_stands_and_otherwise_by_another_seed(name):
    found = perturb(LINES, name, "en")
    assert found == perturb(LINES, name, "en")
    assert found[::-1] == perturb(LINES[::-1], name, "en")
    assert found == [line for one in LINES for line in perturb([one], name, "en")]
    assert found[:2] != LINES[:2] or name == "no-diacritics"
    is_random = name in ("typos", "punctuation", "spaces")
    many = [f"{LINES[0]} {number}." for number in range(20)]
    assert (perturb(many, name, "en", seed=1) != perturb(many, name, "en", seed=2)) == is_random


def test_each_perturbation_does_what_its_name_says():
    def first(name):
        return perturb(LINES, name, "de")[0]

    assert first("upper") == "A MAN IN A WELL-KNOWN HAT RUNS 3.5 KM, AND IT'S LATE."
    assert first("title").startswith("A Man In A Well-known Hat")
    assert first("typos") != LINES[0]
    assert abs(len(first("typos")) - len(LINES[0])) <= 3
    assert perturb(LINES, "no-diacritics", "de")[1] == "Uber Lodz fahrt ein grosserer Bus!"


def test_odd_spaces_are_all_that_cleaning_takes_away():
    found = perturb(LINES, "spaces", "en")
    assert all(one != line for one, line in zip(found, LINES, strict=True))
    assert [clean(one) for one in found] == LINES


def test_only_marks_outside_words_and_numbers_are_left_out_or_doubled():
    found = {perturb([LINES[0]], "punctuation", "en", seed=seed)[0] for seed in range(50)}
    assert len(found) == 9  # three forms of each of the two marks
    assert all("well-known" in one and "3.5" in one and "it's" in one for one in found)
    assert {re.sub(r"(?<=km|te)[,.]*", "", one) for one in found} == {re.sub(r",|\.$", "", LINES[0])}


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("Ærø, straße, ŁÓDŹ", "AEro, strasse, LODZ"),
        ("Ёлка и чай", "Елка и чай"),
        ("हिन्दी", "हिन्दी"),
        ("がぎ", "がぎ"),
        ("한국", "한국"),
    ],
)
def test_accents_are_left_out_where_people_leave_them_out(line, plain):
    assert without_diacritics(line, "", Random(1)) == plain


def test_an_unknown_perturbation_is_an_error():
    with pytest.raises(InputError, match="unknown perturbation 'case'; known are upper, title, typos, punctuation"):
        perturb(LINES, "case", "en")
