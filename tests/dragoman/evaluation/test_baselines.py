"""The baselines: EM learns a dictionary that counting cannot learn."""

from data.batch import Pair
from dragoman.evaluation.baselines import copy_source, learn_dictionary, word_for_word

PAIRS = [Pair("das haus", "the house"), Pair("das buch", "the book"), Pair("ein buch", "a book"), Pair("ein", "a")] * 2


def test_em_finds_each_word_its_translation():
    assert learn_dictionary(PAIRS) == {"das": "the", "haus": "house", "buch": "book", "ein": "a"}


def test_words_are_replaced_in_the_order_of_the_source_and_unknown_ones_kept():
    dictionary = learn_dictionary(PAIRS)
    assert word_for_word(["buch das neu", "", "ein haus"], dictionary) == ["book the neu", "", "a house"]


def test_words_seen_once_are_not_in_the_dictionary():
    assert "selten" not in learn_dictionary([*PAIRS, Pair("selten", "rare")])


def test_copying_changes_nothing():
    assert copy_source(["ein haus", ""]) == ["ein haus", ""]
