"""What carries no meaning is removed from a line, and nothing else."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from data.text.cleaning import REMOVED, clean, is_clean, one_line


@pytest.mark.parametrize("space", "\t\u00a0\u2003\u202f\u3000\u2800\u3164\x85\x1f ")
def test_every_white_space_is_one_space_and_none_is_at_the_ends(space):
    assert clean(f"{space}A{space}dog {space}runs.{space}") == "A dog runs."
    assert clean(space) == clean(space * 3) == ""


@pytest.mark.parametrize(
    "hidden",
    "\u00ad\u200b\u200c\u200d\u200e\u202a\u2060\u2066\ufeff\ufe0f\x00\x07\x7f\u034f\u061c\u1160\ufff9\U000e0041\U000e0100",
)
def test_invisible_characters_are_removed_from_latin_text(hidden):
    assert clean(f"{hidden}A do{hidden}g {hidden} runs{hidden}.{hidden}") == "A dog runs."


def test_composed_and_decomposed_letters_are_the_same():
    assert clean("cafe\u0301") == clean("caf\u00e9") == "caf\u00e9"


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cرود",  # Persian: "goes", with a joiner that separates the prefix
        "क्\u200dष",  # Hindi: a half form
        "ന\u0d4d\u200d മ",  # Malayalam: a vowelless letter at the end of a word
        "👩🏽\u200d⚕\ufe0f and 👨\u200d👩\u200d👧",
        "1\ufe0f\u20e3 ❤\ufe0f ©\ufe0f",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
        "葛\U000e0100",  # a variant of an ideograph
        "„Weiß“ — l’été… ½ ﬁ",  # visible characters are never changed
    ],
)
def test_what_has_a_meaning_in_its_place_stays(text):
    assert clean(text) == text


def test_a_joiner_at_the_edge_of_a_word_separates_nothing():
    assert clean("خانه\u200c ها") == "خانه ها"
    assert clean("می\u200c\u200cرود") == "می\u200cرود"


@given(st.text(alphabet="aé \t\u00a0\u200b\u200c\u200d\u0301\u0645\ufe0f❤\U000e0041\u3000", max_size=12))
def test_cleaning_again_changes_nothing_and_clean_lines_are_recognised(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned == cleaned.strip()
    assert not is_clean(text) or cleaned == text
    assert not REMOVED.search(cleaned)


@pytest.mark.parametrize("text", ["a\u2028b", "a\nb", "a\x85b"])
def test_one_line_has_no_line_break(text):
    assert one_line(text) == "a b"
