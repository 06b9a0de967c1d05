"""Sentences to look at: how they are chosen, and how their words are marked and linked."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from dragoman.reports.breakdown import Scored
from dragoman.reports.sentences import (
    different,
    lowest,
    more_often,
    most_different,
    sentence,
    source_words,
    translation_words,
    words_with_gaps,
)
from tests.support.hand_made_evaluation import BASE, REFERENCES, WIDE, details, hand_made_evaluation


@given(st.text())
def test_words_and_gaps_together_are_the_text_up_to_its_last_word(text):
    words = words_with_gaps(text)
    assert text.startswith("".join(word.before + word.text for word in words))


def test_each_character_is_a_word_where_no_spaces_separate_them():
    assert [word.text for word in words_with_gaps("我爱 NLP 吗")] == ["我", "爱", "NLP", "吗"]


def test_words_outside_common_runs_differ():
    assert different(["a", "b", "c"], ["a", "x", "c"]) == {1}
    assert different(["a", "b", "c", "d"], ["c", "d"]) == {0, 1}
    assert different([], ["a"]) == set()


def test_long_lines_that_repeat_themselves_are_compared_quickly_by_how_often_they_have_each_word():
    loop, start = ["a"] * 3000, time.process_time()
    assert different(loop, ["a", "b"] * 1000) == set(range(1000, 3000))
    assert different(["a", "b"] * 1000, loop) == set(range(1, 2000, 2))
    assert time.process_time() - start < 1
    assert more_often(["a", "a", "b"], ["a", "c"]) == {1, 2}


def test_the_sentences_that_gain_and_lose_most_come_first():
    assert most_different([5.0, 5.0, 5.0, 5.0], [9.0, 1.0, 5.0, 6.0], 1) == ([0], [1])
    assert most_different([5.0, 5.0, 5.0, 5.0], [9.0, 1.0, 5.0, 6.0], 9) == ([0, 3], [1])
    assert lowest([3.0, 1.0, 2.0], 2) == [1, 2]


def test_two_translations_are_marked_where_they_differ_from_each_other_and_one_where_it_differs_from_the_reference():
    base, wide = (Scored.of(outputs, color) for color, outputs in enumerate(hand_made_evaluation().outputs[:2]))
    both = sentence(0, [base, wide])
    marked = [[word.text for word in shown.words if word.is_marked] for shown in both.translations]
    assert marked == [["runs"], ["is", "running"]]
    assert both.difference == pytest.approx(wide.scores[0] - base.scores[0])
    alone = sentence(4, [base])
    assert [word.text for word in alone.translations[0].words if word.is_marked] == ["waits", "at", "bus."]
    assert alone.number == 5


def test_scores_of_sentences_are_sacrebleus():
    wide = Scored.of(hand_made_evaluation().outputs[1], 0)
    expected = [
        CHRF().sentence_score(text, [reference]).score for text, reference in zip(WIDE, REFERENCES, strict=True)
    ]
    assert wide.scores == pytest.approx(expected, abs=1e-9)


def test_words_are_linked_to_the_words_of_the_source_that_have_their_numbers():
    words = translation_words(BASE[0], {2}, details("Ein Hund läuft durch den Schnee.", BASE[0]))
    assert [word.links for word in words] == [(0,), (1,), (2,), (3,), (4,), (5,)]
    assert [word.is_marked for word in words] == [False, False, True, False, False, False]
    assert words[1].confidence == 0.3
    assert [word.links for word in source_words("Ein Hund")] == [(0,), (1,)]


def test_details_of_other_words_are_not_shown():
    words = translation_words("A cat.", set(), details("Ein Hund läuft.", "A dog runs."))
    assert [(word.links, word.confidence) for word in words] == [((), None), ((), None)]
