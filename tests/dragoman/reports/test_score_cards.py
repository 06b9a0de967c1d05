from dragoman.reports.score_cards import card, verdict_of
from tests.support.hand_made_evaluation import hand_made_evaluation


def test_systems_without_a_model_do_not_stretch_the_number_line():
    evaluation = hand_made_evaluation()
    rows = card(evaluation.results, "bleu", "narrow", {"narrow": 0, "wide": 1, "source copied": 2}).rows
    assert [row.at is None for row in rows] == [False, False, True]
    assert rows[0].low < rows[0].at < rows[0].high < rows[1].low < rows[1].high < 100


def test_systems_without_a_model_are_on_the_number_line_beside_a_single_model():
    evaluation = hand_made_evaluation()
    rows = card(evaluation.results[1:], "bleu", "", {"wide": 1, "source copied": 2}).rows
    assert rows[1].at < rows[0].at


def test_equal_scores_are_no_difference_whatever_p_says():
    found = hand_made_evaluation().results[1].metrics["bleu"]
    assert verdict_of(found) == "better, p = 0.012"
    assert verdict_of(found._replace(verdict="no evidence", p=0.3)) == "no evidence, p = 0.300"
    assert verdict_of(found._replace(verdict="no evidence", p=0.001)) == "no difference"
    assert verdict_of(found._replace(verdict=None, p=None)) == ""


def test_a_score_without_an_interval_or_of_a_single_system_has_its_place_on_the_line():
    evaluation = hand_made_evaluation()
    result = evaluation.results[0]
    bleu = result.metrics["bleu"]._replace(low=None, high=None)
    [row] = card([result._replace(metrics={"bleu": bleu})], "bleu", "", {"narrow": 0}).rows
    assert (row.low, row.at, row.high) == (50, 50, 50)
