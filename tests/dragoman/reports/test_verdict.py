"""The verdict claims a difference only where a test found one."""

from dragoman.evaluation.results import Comparison, Evaluation
from dragoman.reports.verdict import listing, verdict
from tests.support.hand_made_evaluation import hand_made_evaluation


def test_a_difference_that_a_test_found_is_claimed_with_its_figures():
    found = verdict(hand_made_evaluation(p=0.012), "flickr 2016")
    assert found.claim == "wide is better than narrow."
    assert found.figures == (
        "BLEU 41.87 against 35.21, a difference of +6.66, p = 0.012 by paired bootstrap over 6 sentences."
    )


def test_a_difference_that_may_be_chance_is_not_claimed():
    assert verdict(hand_made_evaluation(p=0.2), "flickr 2016").claim == "No evidence that wide and narrow differ."


def test_without_a_baseline_the_best_score_is_named_and_said_to_be_untested():
    found = verdict(hand_made_evaluation()._replace(comparisons=(), baseline=""), "flickr 2016")
    assert found.claim == "wide scores best; whether that is more than noise was not tested."
    assert found.figures.startswith("BLEU 41.87, before narrow with 35.21.")


def test_one_system_has_its_score_and_interval():
    evaluation = hand_made_evaluation()
    alone = evaluation._replace(results=evaluation.results[1:2], comparisons=())
    assert verdict(alone, "flickr 2016") == ("wide has 41.87 BLEU.", "95% interval: 39.87 to 43.87.")


def test_baselines_without_a_model_count_where_there_is_nothing_else():
    evaluation = hand_made_evaluation()
    copied = evaluation._replace(results=evaluation.results[2:], comparisons=())
    assert verdict(copied, "flickr 2016").claim == "source copied has 2.50 BLEU."


def test_a_baseline_without_a_model_is_compared_with_if_it_was_named():
    evaluation = hand_made_evaluation()
    compared = Comparison(
        "narrow", "source copied", "flickr 2016", "bleu", 32.71, 0.0001, "better", "paired bootstrap", 6
    )
    results = [evaluation.results[0], evaluation.results[2]]
    found = verdict(
        evaluation._replace(results=results, comparisons=[compared], baseline="source copied"), "flickr 2016"
    )
    assert found.claim == "narrow is better than source copied."


def test_several_systems_are_sorted_by_what_the_tests_say_of_them():
    evaluation = hand_made_evaluation()
    others = [("wider", 43.0, "better"), ("late", 30.0, "worse"), ("early", 35.0, "no evidence")]
    results, comparisons = list(evaluation.results), list(evaluation.comparisons)
    for name, score, word in others:
        system = results[1].system._replace(name=name)
        bleu = results[1].metrics["bleu"]._replace(score=score)
        results.append(results[1]._replace(system=system, metrics={"bleu": bleu}))
        comparisons.append(
            Comparison(name, "narrow", "flickr 2016", "bleu", 1.0, 0.5, word, "paired bootstrap", 6)
        )  # fmt: skip
    found = verdict(evaluation._replace(results=results, comparisons=comparisons), "flickr 2016")
    assert found.claim == (
        "wide and wider are better than narrow; late is worse than narrow; no evidence that early differs from narrow."
    )
    assert found.figures == "BLEU: wider 43.00, wide 41.87, narrow 35.21, early 35.00, late 30.00."


def test_the_verdict_says_that_nothing_was_scored():
    assert verdict(Evaluation([], [], []), "any").claim == "Nothing was scored."


def test_names_are_listed_as_in_a_sentence():
    assert [listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"], "or")] == ["a", "a and b", "a, b or c"]
