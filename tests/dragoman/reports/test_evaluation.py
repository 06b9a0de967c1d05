"""The report of an evaluation, as text; test_browser.py looks at it."""

import re

import pytest

from dragoman.evaluation.results import Evaluation, System
from dragoman.reports.evaluation import colors_of_runs, evaluation_report
from dragoman.reports.runs import AboutRuns, Rarest
from tests.support.hand_made_evaluation import HOSTILE, hand_made_evaluation, metrics_of_a_run


@pytest.fixture(scope="module")
def page():
    metrics = {"runs/narrow": metrics_of_a_run(36), "runs/wide": metrics_of_a_run(42)}
    rarest = Rarest("runs/narrow", {"flickr 2016": [0, 4, 22, 130, 3, 1200]})
    command = "dragoman evaluate 'runs/<narrow>' runs/wide --baseline narrow"
    about = AboutRuns(metrics, rarest, ("Some of what runs/late remembers is not shown.",))
    return evaluation_report(hand_made_evaluation(), about, command=command)


def test_the_verdict_comes_first(page):
    assert re.search(r"<h1>.*?</h1>\s*<p class=\"verdict\">wide is better than narrow\.</p>", page, flags=re.DOTALL)
    assert "<title>Evaluation: wide is better than narrow.</title>" in page


def test_scores_have_intervals_verdicts_and_warnings(page):
    assert "<b>41.87</b> <small>39.87 to 43.87</small>" in page
    assert 'class="chip better">better, p = 0.012<' in page
    assert 'class="chip worse">worse, p &lt; 0.001<' in page
    assert "3 of 6 lines of flickr 2016 occur in the training text." in page
    assert "Some of what runs/late remembers is not shown." in page


def test_it_says_what_makes_it_repeatable(page):
    for expected in (
        "&#39;runs/&lt;narrow&gt;&#39;",
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0",
        "bootstrap of 1,000 samples, seed 12345",
        "10,000 trials, seed 12345",
        "ab" * 32,
        "5000, 6000",
        "beam 5, length_penalty 0.6",
        "9,876,543",
    ):
        assert expected in page


def test_curves_breakdowns_differences_and_worst_sentences_are_there(page):
    for heading in ("Validation BLEU", "Training loss", "By length of the source", "By rarest word"):
        assert f"<h3>{heading}</h3>" in page
    assert "Where narrow and wide differ most" in page
    assert "wide gains: 5 sentences" in page
    assert "wide loses: 1 sentence<" in page
    assert "The worst sentences" in page


def test_hostile_text_and_names_are_escaped_everywhere():
    name = f"a{HOSTILE}"
    evaluation = hand_made_evaluation(first=name, second=f"b{HOSTILE}", tests=(f"t{HOSTILE}", "u\ud800\x00"))
    evaluation = evaluation._replace(notes=[HOSTILE])
    about = AboutRuns({name: metrics_of_a_run(36), "b": metrics_of_a_run(3)})
    page = evaluation_report(evaluation, about, command=HOSTILE)
    assert "&lt;script&gt;document.title" in page
    for tag in ("<script", "<img", "<iframe"):
        assert tag not in page
    assert not re.search(r"<[^>]*\sonmouseover=", re.sub(r'"[^"]*"', '""', page))


def test_several_test_sets_have_a_verdict_and_scores_each_and_a_chart_together():
    page = evaluation_report(hand_made_evaluation(tests=("one", "two", "all of test")))
    assert "<b>two:</b> wide is better than narrow." in page
    assert "<h3>BLEU by test set</h3>" in page
    assert "Where narrow and wide differ most: two" in page
    assert "differ most: all of test" not in page  # each of its sentences is one of another test set
    assert "Learning curves" not in page


def test_outputs_without_details_and_results_without_checks_are_shown():
    evaluation = hand_made_evaluation()
    outputs = [outputs._replace(details=None) for outputs in evaluation.outputs]
    results = [result._replace(checks=None, perplexity=None) for result in evaluation.results]
    page = evaluation_report(evaluation._replace(outputs=outputs, results=results))
    assert "Point at a word" not in page
    assert '<span class="w s0">Ein</span>' in page


def test_the_curves_of_a_run_have_the_colour_of_its_system():
    systems = [
        System("a", "text", "a"),
        System("b 10", "run", "b"),
        System("b 20", "run", "b"),
        System("e", "ensemble"),
    ]
    assert colors_of_runs(["b", "d"], systems) == {"b": 1, "d": 5}


def test_an_evaluation_of_nothing_has_a_page():
    assert "nothing was scored" in evaluation_report(Evaluation([], [], []))
