"""Lines in capitals and in Title Case are recognised, and brought into their usual form."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text.casing import count_forms, lower, shape_by_words, shape_of, upper, usual_form

KNOWN = {word.lower(): word for word in ("a", "man", "in", "York", "Mann", "Hund", "rote", "NATO", "runs", "the", "is")}


@pytest.mark.parametrize(
    ("text", "language", "shape"),
    [
        ("A MAN RUNS.", "en", "capitals"),
        ("EINE STRAßE IN BERLIN, 100 km", "de", "capitals"),
        ("ЧЕЛОВЕК БЕЖИТ", "ru", "capitals"),
        ("NATO", "en", "usual"),
        ("The NATO and the EU met in the USA.", "en", "usual"),
        ("OK!", "en", "usual"),
        ("A Man In A Blue Shirt", "en", "title"),
        ("A Man in a Blue Shirt Is Running", "en", "title"),
        ("Angela Merkel met Emmanuel Macron and Olaf Scholz", "en", "usual"),
        ("New York Times", "en", "usual"),
        ("Der Hund der Frau Müller aus Berlin", "de", "usual"),
        ("a man runs", "en", "usual"),
        ("我 在 NATO 和 EU", "zh", "usual"),
        ("هذا بيت", "ar", "usual"),
        ("1234 - 5678", "en", "usual"),
        ("", "en", "usual"),
    ],
)
def test_a_line_is_in_capitals_in_title_case_or_neither(text, language, shape):
    assert shape_of(text, language) == shape


ORDINARY = st.builds(lambda first, rest: first + rest, st.characters(), st.text("abc dß'ﬁªⅷ1.我\u0301 ", max_size=40))
ROUGH = st.lists(st.sampled_from(["a", "Man", "RUNS", "IN", "The", "ǅ", "ß", "12", "我", "...", "I'm"])).map(" ".join)


@given(ORDINARY | ROUGH | st.text(), st.sampled_from(["", "en", "de", "tr"]))
def test_a_text_whose_only_capital_is_its_first_letter_has_the_shape_that_its_words_show(text, language):
    assert shape_of(text, language) == shape_by_words(text, language)


def test_any_character_may_stand_first_or_in_an_ordinary_text():
    for one in map(chr, range(sys.maxunicode + 1)):
        for text in (f"{one}a {one.upper()} b", f"{one} man runs in a park"):
            if text[1:].islower():
                assert shape_by_words(text, "en") == "usual", text


@pytest.mark.parametrize(
    ("text", "language", "usual"),
    [
        ("A MAN IN NEW YORK!", "en", "A man in new York!"),
        ("NATO RUNS. I'M IN", "en", "NATO runs. I'm in"),
        ("A Man In Gudgodah Is The", "en", "A man in Gudgodah is the"),
        ("DER ROTE MANN, SCHLITTENHUNDE", "de", "Der rote Mann, Schlittenhunde"),
        ('"A MAN" RUNS', "en", '"A man" runs'),
        ("2 MEN RUN", "en", "2 men run"),
    ],
)
def test_the_usual_form_is_that_of_the_training_text(text, language, usual):
    assert usual_form(text, shape_of(text, language), KNOWN | {"der": "der"}, language) == usual


def test_a_line_of_names_is_left_alone():
    names = "Angela Merkel Emmanuel Macron Olaf Scholz"
    assert usual_form(names, "title", KNOWN, "en") == names


def test_without_a_training_text_everything_but_the_first_letter_is_lower_case():
    assert usual_form("A MAN IN NEW YORK", "capitals", {}, "en") == "A man in new york"
    assert usual_form("DER MANN", "capitals", {}, "de") == "Der mann"


def test_first_words_and_lines_in_capitals_are_not_counted():
    counts: dict[str, dict[str, int]] = {}
    count_forms(["The man met the NATO.", "THE MAN RUNS"], counts, "en")
    assert counts == {"man": {"man": 1}, "met": {"met": 1}, "the": {"the": 1}, "nato": {"NATO": 1}}


def test_capitals_follow_the_rules_of_the_language():
    assert (upper("iki ısı", "tr"), lower("İKİ ISI", "tr")) == ("İKİ ISI", "iki ısı")
    assert upper("კაცი is", "ka") == "კაცი IS"
    assert upper("Straße") == "STRASSE"
