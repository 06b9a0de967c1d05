"""What a report shows of the supplements of an evaluation."""

import pytest

from dragoman.evaluation.overlap import Overlap, OverlapLine, OverlapScores
from dragoman.evaluation.robustness import Robustness
from dragoman.evaluation.word_f1 import BUCKETS, Bucket, WordScores
from dragoman.reports.evaluation import evaluation_report
from dragoman.reports.supplements import arrow, by_word_frequency, overlap_table, robustness_table
from tests.support.hand_made_evaluation import hand_made_evaluation

COLORS = {"narrow": 0, "wide": 1, "source copied": 2}


@pytest.fixture
def evaluation():
    """An evaluation with one supplement of each kind."""
    found = hand_made_evaluation()
    [test_set] = found.test_sets
    lines = [OverlapLine(0, "exact", ("source",)), OverlapLine(3, "near", ("target",))]
    scores = {"with": {"bleu": 41.9, "chrf": 66.1}, "without": {"bleu": 30.0, "chrf": 60.0}}
    buckets = tuple(Bucket(*limits, hypothesis=4, reference=6, matched=3) for limits in BUCKETS)
    signatures = {"bleu": "a", "chrf": "b"}
    disturbed = {"bleu": 20.0, "chrf": 50.0}
    return found._replace(
        supplements={
            "overlap": [OverlapScores("wide", "runs/wide", test_set, Overlap(6, lines, 1), scores)],
            "word_f1": [WordScores("wide", test_set.name, buckets)],
            "robustness": [
                Robustness("wide", test_set.name, "typos", 6, scores["with"], disturbed, signatures),
                Robustness("wide", test_set.name, "paragraphs", 2, scores["with"], disturbed, signatures, 6, [1]),
                Robustness("wide", test_set.name, "words", 20, {}, disturbed, signatures, overlong=[3]),
            ],
        }
    )


def test_overlap_has_counts_and_scores_with_and_without(evaluation):
    table = overlap_table(evaluation.supplements["overlap"], COLORS)
    [row] = table.rows
    assert row.cells == [
        "flickr 2016", "1 of 6", "1 of 6", "41.90 → 30.00 (-11.90)", "66.10 → 60.00 (-6.10)"
    ]  # fmt: skip
    assert table.meaning.startswith("flickr 2016, runs/wide: 1 of 6 lines")


def test_no_overlap_is_said_without_a_table(evaluation):
    [found] = evaluation.supplements["overlap"]
    table = overlap_table([found._replace(overlap=Overlap(6, [], 1))], COLORS)
    assert table.rows == []
    assert "0 of 6 lines occur in the training text" in table.meaning
    assert overlap_table([], COLORS) is None


def test_disturbed_text_is_shown_beside_the_clean_one(evaluation):
    table = robustness_table(evaluation.supplements["robustness"], COLORS)
    assert table.columns == ["test set", "disturbance", "BLEU", "chrF", "sentences lost"]
    assert [row.cells[1:] for row in table.rows] == [
        ["typos", "41.90 → 20.00 (-21.90)", "66.10 → 50.00 (-16.10)", "–"],
        ["paragraphs", "41.90 → 20.00 (-21.90)", "66.10 → 50.00 (-16.10)", "1 of 6"],
        ["words", "20.00", "50.00", "–"],
    ]
    assert "typos: " in table.meaning
    assert robustness_table([], COLORS) is None


def test_words_have_their_f1_by_frequency(evaluation):
    curve = by_word_frequency(evaluation.supplements["word_f1"], COLORS)
    assert "wide: 1000+, 60<" in curve.chart
    assert "wide: 2–4, 60<" in curve.chart
    assert "wide: 10+, 60<" in curve.chart
    assert "Words of the reference: 6, 6, 6, 6, 6, 6, 6." in curve.meaning
    assert by_word_frequency([], COLORS) is None


def test_words_of_a_frequency_that_nobody_has_interrupt_the_line(evaluation):
    [found] = evaluation.supplements["word_f1"]
    buckets = (found.buckets[0]._replace(hypothesis=0, reference=0, matched=0), *found.buckets[1:])
    assert "wide: 0," not in by_word_frequency([found._replace(buckets=buckets)], COLORS).chart


def test_the_report_has_a_heading_for_each_supplement(evaluation):
    page = evaluation_report(evaluation)
    assert "<h2>Test lines in the training text</h2>" in page
    assert "<h2>Disturbed text</h2>" in page
    assert "<h3>By frequency of the word</h3>" in page


def test_scores_before_and_after_have_their_difference():
    assert arrow(28.1, 21.4) == "28.10 → 21.40 (-6.70)"
    assert arrow(28.1, None) == "28.10"
