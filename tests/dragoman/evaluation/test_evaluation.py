"""Texts alone are evaluated without any model; seeds are judged by their spread."""

import csv
import io
import json
import random
import shutil
import statistics
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from dragoman.evaluation.command_metric import CommandMetric
from dragoman.evaluation.comparisons import compare, with_comparisons
from dragoman.evaluation.evaluation import Task, evaluate
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept, hash_of
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Comparison, Evaluation, MetricResult, Result, System
from dragoman.evaluation.scoring import Evaluator, sentence_scores
from dragoman.evaluation.seeds import with_seeds
from dragoman.evaluation.serialization import as_csv, as_json, as_json_lines
from dragoman.evaluation.significance import interval_of_seeds, p_over_seeds, paired_tests
from dragoman.evaluation.systems import Selection, find_systems
from dragoman.evaluation.table import difference, show
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG, make_run

SCHEMA = Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text()))
SAMPLES = 100


def lines(share: float, seed: int, count: int = 40) -> list[str]:
    """Lines of which a share of the words is wrong."""
    words, draw, noise = ["ein", "Mann", "läuft", "mit", "Hund", "über", "Wiese"], random.Random(0), random.Random(seed)
    texts = [[draw.choice(words) for _ in range(8)] for _ in range(count)]
    return [" ".join("falsch" if noise.random() < share else word for word in text) for text in texts]


REFERENCE = lines(0, 0)
TEXTS = {"good": lines(0.1, 1), "bad": lines(0.6, 2), "twin": lines(0.1, 3), "copy": lines(0.1, 1)}
TEST_SET = TestSet("news", ["a source"] * len(REFERENCE), [REFERENCE], "de")


def task(**options) -> Task:
    names = options.pop("names", TEXTS)
    texts = {name: [TEXTS[name]] for name in names}
    defaults = {"texts": texts, "test_sets": [TEST_SET], "samples": SAMPLES, "trials": SAMPLES}
    return Task(**defaults | options)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Evaluation:
    return evaluate(task(baseline="good"), Kept(tmp_path_factory.mktemp("kept")))


def row(evaluation: Evaluation, system: str) -> Result:
    return next(one for one in evaluation.results if one.system.name == system)


def test_systems_are_compared_with_the_baseline_by_every_metric(found):
    verdicts = {name: {metric.verdict for metric in row(found, name).metrics.values()} for name in TEXTS}
    assert verdicts == {"good": {None}, "bad": {"worse"}, "twin": {"no evidence"}, "copy": {"no evidence"}}
    bleu = METRICS["bleu"].scorer("de", REFERENCE)
    ours, theirs = (bleu._extract_corpus_statistics(TEXTS[name], [REFERENCE]) for name in ("twin", "good"))
    expected = paired_tests(bleu, ours, theirs, samples=SAMPLES, trials=SAMPLES, seed=found.seed)
    metric = row(found, "twin").metrics["bleu"]
    assert (metric.p, metric.p_randomization) == expected
    assert metric.score == METRICS["bleu"].score(TEXTS["twin"], REFERENCE, "de").score
    assert metric.low < metric.score < metric.high


def test_the_table_says_what_is_evidence_in_words(found):
    shown = show(found)
    assert "bad against good on news:" in shown
    assert "BLEU                         -" in shown
    assert ", worse; p < 0.010" not in shown
    assert ", worse; p = 0.010 by paired bootstrap" in shown
    assert ", no evidence (n = 40 sentences); p = " in shown
    assert "sacreBLEU's bootstrap over sentences: 100 samples, seed 12345." in shown
    for metric in row(found, "bad").metrics.values():
        assert f"{metric.score:.2f} ±{(metric.high - metric.low) / 2:.2f}" in shown
        assert f"{metric.name}: {metric.signature}" in shown.split("\n")


def test_json_json_lines_and_csv_have_the_same_values(found):
    record = as_json(found)
    SCHEMA.validate(json.loads(json.dumps(record)))
    assert [json.loads(line) for line in as_json_lines(found).split("\n")[:-1]] == record["results"]
    [first, *_] = csv.DictReader(io.StringIO(as_csv(found)))
    bleu = record["results"][0]["bleu"]
    assert (float(first["bleu.score"]), float(first["bleu.low"])) == (bleu["score"], bleu["low"])
    assert record["baseline"] == "good"
    assert {one["method"] for one in record["comparisons"]} == {"paired bootstrap"}


def test_without_samples_there_are_no_intervals_and_without_a_baseline_no_verdicts(tmp_path):
    record = as_json(evaluate(task(samples=0, names=["good"]), Kept(tmp_path)))
    assert set(record["results"][0]["bleu"]) == {"score", "signature"}
    assert set(record) == {"results", "resampling"}


def test_two_references_are_scored_as_sacrebleu_scores_them(tmp_path):
    both = [REFERENCE, TEXTS["twin"]]
    test_set = TEST_SET._replace(references=both)
    found = evaluate(task(test_sets=[test_set], names=["good"], samples=0), Kept(tmp_path))
    scorer = METRICS["bleu"].scorer("de", REFERENCE)
    [result] = found.results
    assert result.metrics["bleu"].score == scorer.corpus_score(TEXTS["good"], both).score
    assert result.metrics["bleu"].signature.startswith("nrefs:2|")
    for metric in METRICS.values():
        assert result.metrics[metric.name].signature.startswith("nrefs:2|")


def test_a_second_question_counts_nothing_again_and_a_command_is_asked_each_time(tmp_path):
    cache = Kept(tmp_path)
    evaluate(task(names=["good"]), cache)
    metric = CommandMetric("ones", "sed s/.*/1/")
    found = evaluate(task(names=["good"], metrics=[*METRICS.values(), metric]), cache)
    assert found.results[0].metrics["ones"] == MetricResult(
        "ones", 1.0, "command:sed s/.*/1/|sentences:mean", 1.0, 1.0, label="ones"
    )
    evaluator = Evaluator(TEST_SET, [], cache, samples=0, trials=0, seed=1)
    assert evaluator.cache.has("statistics", [found.results[0].metrics["ter"].signature, *hashes(evaluator, "good")])


def hashes(evaluator: Evaluator, name: str) -> list[str]:
    return [evaluator._sha256, hash_of(TEXTS[name])]


def test_sentence_scores_are_those_of_each_sentence_alone(tmp_path):
    evaluator = Evaluator(TEST_SET, [], Kept(tmp_path), samples=0, trials=0, seed=1)
    outputs = evaluate(task(names=["bad"], samples=0), Kept(tmp_path)).outputs[0]
    chrf = METRICS["chrf"]
    expected = [chrf.score([line], [other], "de").score for line, other in zip(TEXTS["bad"], REFERENCE, strict=True)]
    assert sentence_scores(evaluator, chrf, outputs) == pytest.approx(expected)


def test_an_unknown_baseline_is_told_before_any_work(tmp_path):
    with pytest.raises(InputError, match="--baseline none: no such system: expected one of good, bad, twin, copy"):
        evaluate(task(baseline="none"), Kept(tmp_path))


def test_after_a_request_to_stop_finished_outputs_are_scored_and_the_record_says_that_it_is_not_complete(tmp_path):
    run = Path(shutil.copytree(ROOT / "tests" / "golden" / "run", tmp_path / "run"))
    [candidate] = find_systems([str(run)], Selection(("600",)))
    test_sets = [TestSet(name, [f"a b {name}"], [["b a"]], "de") for name in ("first", "second")]
    asked = iter([False, True])
    options = {"test_sets": test_sets, "has_perplexity": False, "samples": 0}
    found = evaluate(Task([candidate], **options), Kept(tmp_path / "kept"), is_stopping=lambda: next(asked))
    assert ([row.test_set for row in found.results], found.is_complete) == (["first"], False)


# --- seeds -------------------------------------------------------------------------------------------------

WIDE, NARROW = [31.0, 31.4, 31.1], [30.0, 30.3, 30.2]


def seed_rows(name: str, scores: list[float], test_set: str = "news") -> list[Result]:
    systems = [System(f"{name}{number}", "run", run=f"{name}{number}", seed_of=name) for number in range(len(scores))]
    return [
        Result(system, test_set, 9, {"bleu": MetricResult("bleu", score, "s", label="BLEU")}, perplexity=2.0)
        for system, score in zip(systems, scores, strict=True)
    ]


def test_the_row_of_seeds_has_their_mean_and_spread_and_follows_them():
    rows = [*seed_rows("wide", WIDE), *seed_rows("narrow", NARROW)]
    found = with_seeds(rows)
    assert [one.system.name for one in found] == ["wide0", "wide1", "wide2", "wide", "narrow0", "narrow1", "narrow2",
                                                  "narrow"]  # fmt: skip
    wide = found[3]
    assert (wide.system.kind, wide.system.members) == ("seeds", ("wide0", "wide1", "wide2"))
    metric = wide.metrics["bleu"]
    assert metric.score == pytest.approx(statistics.fmean(WIDE))
    assert metric.spread == pytest.approx(statistics.stdev(WIDE))
    assert (metric.low, metric.high) == interval_of_seeds(WIDE)


def test_systems_of_seeds_are_judged_by_the_spread_between_seeds():
    rows = with_seeds([*seed_rows("wide", WIDE), *seed_rows("narrow", NARROW)])
    evaluation = with_comparisons(Evaluation([], [], rows, baseline="narrow"), {})
    [only] = evaluation.comparisons
    assert (only.system, only.method, only.n, only.verdict) == ("wide", "Welch's t", 6, "better")
    assert only.p == p_over_seeds(WIDE, NARROW)
    shown = show(evaluation)
    assert "wide (3 seeds)" in shown
    assert f"+1.00, better; p = {only.p:.3f} by Welch's t" in shown
    assert f"Standard deviation of wide on news: BLEU {statistics.stdev(WIDE):.2f}." in shown
    SCHEMA.validate(json.loads(json.dumps(as_json(evaluation._replace(samples=9, seed=1)))))


def test_a_single_system_is_judged_by_the_spread_of_the_seeds_and_another_test_set_is_not_compared():
    alone = Result(System("alone", "text"), "news", 9, {"bleu": MetricResult("bleu", 30.9, "s")})
    rows = [*with_seeds([*seed_rows("wide", WIDE), *seed_rows("far", NARROW, "talks")]), alone]
    evaluation = Evaluation([], [], rows, baseline="wide")
    [one] = compare(evaluation, alone, {})
    assert (one.p, one.verdict, one.n) == (p_over_seeds([30.9], WIDE), "no evidence", 4)
    assert one.method == "Student's t"
    assert [compare(evaluation, other, {}) for other in rows if other is not alone] == [[]] * 8


# --- the runs' own test sets -------------------------------------------------------------------------------


def own_run(directory: Path, second: str) -> str:
    """A tiny run whose test set is two corpora, of three lines and of two."""
    directory.mkdir()
    texts = {"train": "a b c d e f " * 20, "one": "a b c", "two": second, "val": "a"}
    for name, text in texts.items():
        for side in ("en", "de"):
            (directory / f"{name}.{side}").write_text("".join(f"{word} {side}\n" for word in text.split()))
    corpora = {name: [[f"{name}.en", f"{name}.de"]] for name in texts}
    data = CONFIG.data.model_copy(
        update={
            "corpus": "files",
            "directory": str(directory),
            "vocabulary_size": 270,
            "train": corpora["train"],
            "validation": corpora["val"],
            "test": corpora["one"] + corpora["two"],
        }
    )
    return str(make_run(directory / "run", CONFIG.model_copy(update={"data": data}), bleu={10: 1.0}))


def test_own_test_sets_have_a_row_each_and_one_for_all_and_different_lines_are_told_apart(tmp_path):
    runs = [own_run(tmp_path / name, second) for name, second in (("x", "d e"), ("y", "d f"))]
    candidates = find_systems(runs, knobs={"beam": 1})
    options = {"has_perplexity": False, "samples": 20, "trials": 0, "metrics": [METRICS["chrf"]]}
    found = evaluate(Task(candidates, baseline=runs[0], **options), Kept(tmp_path / "kept"))
    shown = [(row.system.name, row.test_set, row.sentences) for row in found.results]
    names = ["one.en one.de", "two.en two.de", "all of test"]
    other = [names[0], f"{names[1]} ({runs[1]})", f"{names[2]} ({runs[1]})"]
    assert shown == [
        *((runs[0], name, count) for name, count in zip(names, (3, 2, 5), strict=True)),
        *((runs[1], name, count) for name, count in zip(other, (3, 2, 5), strict=True)),
    ]
    first, second, together = found.outputs[:3]
    assert together.hypotheses == [*first.hypotheses, *second.hypotheses]
    assert together.test_set.references == [[f"{word} de" for word in "abcde"]]
    assert [one.test_set for one in found.comparisons] == names[:1]  # only these lines are the same for both


def test_equal_scores_are_no_difference_whatever_p_says():
    """All bootstrap samples of two equal outputs are equal, which makes their p small."""
    one = Comparison("b", "a", "test", "bleu", 0.0, 0.001, "no evidence", "paired bootstrap", 100)
    assert difference(one) == "+0.00, no difference"
    assert difference(one._replace(difference=0.5, p=0.3)) == (
        "+0.50, no evidence (n = 100 sentences); p = 0.300 by paired bootstrap"
    )
