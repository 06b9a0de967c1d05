import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.evaluation.calibration import (
    area_under_curve,
    bins_of,
    calibrate,
    calibration_curve,
    calibration_lines,
    learn_marks,
    rank_correlation,
    word_truth,
)
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Outputs, System
from dragoman.evaluation.scoring import Evaluator
from dragoman.translation.record import Details
from dragoman.translation.result import Translation

NUMBERS = st.lists(st.integers(0, 6), min_size=1, max_size=12)


def array(values):
    return np.array(values, np.float64)


@given(truths=NUMBERS)
def test_the_regression_rises_and_is_the_nearest_that_does(truths):
    """Its pools are means of their members, and no pool below another could be split: checked against all splits."""
    sure = array(range(len(truths)))
    _, expected = calibration_curve(sure, array(truths))
    assert (np.diff(expected) >= -1e-9).all()
    lowest = [
        min(max(np.mean(truths[a : b + 1]) for a in range(i + 1)) for b in range(i, len(truths)))
        for i in range(len(truths))
    ]  # the min-max formula, Barlow et al. 1972
    assert expected == pytest.approx(lowest)


def test_equal_confidences_are_pooled_in_any_order():
    assert calibration_curve(array([1, 1, 2]), array([1, 3, 5]))[1].tolist() == [2, 2, 5]
    assert calibration_curve(array([1, 1, 2]), array([3, 1, 5]))[1].tolist() == [2, 2, 5]


@given(values=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=15))
def test_the_area_under_the_curve_counts_pairs_in_the_right_order(values):
    sure, right = array([one for one, _ in values]), np.array([one for _, one in values])
    pairs = [(a > b) + (a == b) / 2 for a in sure[right] for b in sure[~right]]
    assert area_under_curve(sure, right) == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_rank_correlation_sees_order_only():
    assert rank_correlation(array([1, 2, 3, 9]), array([2, 3, 50, 60])) == pytest.approx(1)
    assert rank_correlation(array([1, 2, 3]), array([3, 2, 1])) == pytest.approx(-1)
    assert rank_correlation(array([1, 1, 1]), array([3, 2, 1])) == 0
    correlation = 3.5 / math.sqrt(5 * 4.5)  # of the ranks 1, 2, 3, 4 and 1.5, 1.5, 4, 3
    assert rank_correlation(array([1, 2, 3, 4]), array([1, 1, 3, 2])) == pytest.approx(correlation)


def test_bins_have_about_as_many_members_each():
    found = bins_of(array(range(25)), array(range(25)))
    assert [one.size for one in found] == [3] * 5 + [2] * 5
    assert [one.truth for one in found] == [one.confidence for one in found]
    assert bins_of(array([]), array([])) == []


def test_thresholds_are_where_the_expected_chrf_is_the_mean_and_sixty_percent_of_it():
    sure = array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    marks = learn_marks(sure, array([10, 20, 50, 50, 70, 100]), "sha")  # the mean is 50, 60% of it 30
    assert (marks.good, marks.redo) == (0.3, 0.3)
    assert learn_marks(sure, array([40, 45, 50, 55, 55, 55]), "").redo == 0


def outputs(count, *, agrees):
    """Sentences of which more and more words are right, and whose confidence agrees with that or does not."""
    references, hypotheses, translations, details = [], [], [], []
    for number in range(count):
        words = [f"wort{number}{letter}" for letter in "abcdefgh"]
        right = number * 8 // count
        found = [word if place < right else "falsch" for place, word in enumerate(words)]
        sure = 0.1 + 0.8 * (right / 8 if agrees else number % 7 / 7)
        references.append(" ".join(words))
        hypotheses.append(" ".join(found))
        translations.append(Translation(hypotheses[-1], 9 * math.log(sure), 0.0, 8, True, 1))
        details.append(Details([], [], found, [0.9 if place < right else 0.2 for place in range(8)], []))
    test_set = TestSet("validation", references, [references], "de", "en")
    system = System("a", "run", parameters_sha256="sha")
    scores = [one.log_probability for one in translations]
    return Outputs(system, test_set, hypotheses, scores, translations=translations, details=details)


@pytest.mark.parametrize("agrees", [True, False])
def test_marks_are_learned_only_if_confidence_says_something(tmp_path, agrees):
    one = outputs(80, agrees=agrees)
    evaluator = Evaluator(one.test_set, [METRICS["chrf"]], Kept(tmp_path), samples=0, trials=0, seed=1)
    found = calibrate(one, evaluator)
    assert found.word_auc == 1
    assert found.score_correlation == pytest.approx(found.rank_correlation)  # all sentences are equally long
    assert (found.rank_correlation > 0.9) == agrees == (found.marks is not None)
    shown = "\n".join(calibration_lines(found))
    if agrees:
        means = [marked.chrf for marked in found.marked]
        assert means == sorted(means, reverse=True)
        assert sum(marked.size for marked in found.marked) == 80
        assert found.marks.parameters_sha256 == "sha"
        assert "good: confidence" in shown
        assert "more confident of a word that the reference has than of one that it lacks in 100% of pairs" in shown
    else:
        assert "Confidence says too little here" in shown


def test_a_word_is_right_as_often_as_the_reference_has_it():
    test_set = TestSet("t", ["x"], [["der Hund, der Luchs"]], "de", "en")
    details = [Details([], [], ["Der", "der", "der", "Hund!", "."], [0.1, 0.2, 0.3, 0.4, 0.5], [])]
    sure, is_right = word_truth(Outputs(System("a", "run"), test_set, ["-"], details=details))
    assert sure.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert is_right.tolist() == [True, True, False, True]
