"""Scores of parts of a test set."""

import pytest
from sacrebleu.metrics import CHRF

from dragoman.reports.breakdown import OCCURRENCES, Scored, by_length, by_rarest_word, groups_of
from dragoman.reports.runs import Rarest
from tests.support.hand_made_evaluation import REFERENCES, WIDE, hand_made_evaluation


def test_each_sentence_is_in_the_group_of_its_value():
    assert groups_of([3, 9, 5, 6, 41], (5, 10, 20)) == {"up to 5": [0, 2], "6–10": [1, 3], "21+": [4]}
    assert groups_of([0, 1, 1000], OCCURRENCES) == {"0": [0], "1–9": [1], "1,000+": [2]}


def test_a_group_has_the_chrf_that_sacrebleu_gives_its_sentences():
    wide = Scored.of(hand_made_evaluation().outputs[1], 0)
    curve = by_length([wide], seed=1)
    assert "Sentences in each group: 1, 3, 2." in curve.meaning
    numbers = [1, 4]  # of 11 to 20 words
    expected = CHRF().corpus_score([WIDE[at] for at in numbers], [[REFERENCES[at] for at in numbers]]).score
    assert f"wide: 11–20, {expected:.4g}" in curve.chart


def test_rarest_words_need_counts_of_the_training_text():
    wide = Scored.of(hand_made_evaluation().outputs[1], 0)
    assert by_rarest_word([wide], None, seed=1) is None
    curve = by_rarest_word([wide], Rarest("runs/wide", {"flickr 2016": [0, 0, 50, 50, 2000, 5]}), seed=1)
    assert "wide: 10–99" in curve.chart
    assert "in the training text of runs/wide. Sentences in each group: 2, 1, 2, 1." in curve.meaning


def test_no_outputs_have_no_chart():
    assert by_length([], seed=1) is None
    assert by_rarest_word([], None, seed=1) is None


def test_intervals_are_drawn_for_groups_of_several_sentences():
    wide = Scored.of(hand_made_evaluation().outputs[1], 0)
    assert by_length([wide], seed=1).chart.count("line reactive") == pytest.approx(1 + 2)  # joined, and two intervals
