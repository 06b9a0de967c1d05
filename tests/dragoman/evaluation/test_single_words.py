import pytest

from data.errors import InputError
from dragoman.evaluation.single_words import overlong, single_words, words_alone

WORDS = {"dog": "Hund", "cat": "Katze", "bird": "Vogel"}
SOURCES = ["a dog.", "a cat!", "a bird", "dog, cat", "cat and bird 3", "bird and dog"] * 3
REFERENCES = ["ein Hund.", "ein Katze!", "ein Vogel", "Hund, Katze", "Katze und Vogel 3", "Vogel und Hund"] * 3


def test_words_and_their_translations_are_told_from_the_lines_most_frequent_first():
    found = single_words([*SOURCES, "dog"], [*REFERENCES, "Hund"])
    assert dict(zip(*found, strict=True)) == WORDS | {"a": "ein", "and": "und"}
    assert found.sources[0] == "dog"
    assert single_words(SOURCES, REFERENCES, most=1).sources == ["a"]


def test_a_rare_word_is_left_out_and_a_test_set_without_others_is_an_error():
    with pytest.raises(InputError, match="no single words: the 4 lines are too few"):
        single_words(SOURCES[:4], REFERENCES[:4])


def test_punctuation_and_numbers_are_no_words():
    assert words_alone("A dog, it's 3 “well-known” cats.") == "A dog it's well-known cats"
    assert words_alone("我爱 NLP。") == "我爱 NLP"


def test_sentences_in_place_of_words_are_counted():
    assert overlong(["Hund", "ein Hund.", "ein Hund läuft.", ""], ["Hund"] * 4) == [2]
