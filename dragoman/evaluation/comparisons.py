"""Compares every system with the baseline: over sentences, or where one of them has seeds, over seeds."""

from collections.abc import Mapping

from dragoman.evaluation.results import Comparison, Evaluation, MetricResult, Result
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.seeds import compare_seeds


def with_comparisons(evaluation: Evaluation, evaluators: Mapping[str, Evaluator]) -> Evaluation:
    """The evaluation with each system compared with the baseline, and the verdicts in its results."""
    comparisons = [one for row in evaluation.results for one in compare(evaluation, row, evaluators)]
    by_row = {(one.system, one.test_set, one.metric): one for one in comparisons}

    def judged(row: Result, metric: MetricResult) -> MetricResult:
        if (one := by_row.get((row.system.name, row.test_set, metric.name))) is None:
            return metric
        return metric._replace(p=one.p, p_randomization=one.p_randomization, verdict=one.verdict)

    results = [
        row._replace(metrics={name: judged(row, metric) for name, metric in row.metrics.items()})
        for row in evaluation.results
    ]
    return evaluation._replace(results=results, comparisons=comparisons)


def compare(evaluation: Evaluation, row: Result, evaluators: Mapping[str, Evaluator]) -> list[Comparison]:
    """A row against the baseline's on the same test set: over sentences, or where one has seeds, over seeds.

    A single seed is not compared with a system of several, which its own system is.
    """
    rows = [one for one in evaluation.results if one.test_set == row.test_set]
    other = next((one for one in rows if one.system.name == evaluation.baseline), None)
    if other is None or row.system.name == evaluation.baseline:
        return []
    if "seeds" not in (row.system.kind, other.system.kind):
        ours, theirs = (evaluation.outputs_of(one.system.name, row.test_set) for one in (row, other))
        if ours is None or theirs is None:
            return []
        return evaluators[row.test_set].compare(ours, theirs, row, other)
    if row.system.seed_of and other.system.kind == "seeds":
        return []

    def scores(of: Result, name: str) -> list[float]:
        members = of.system.members if of.system.kind == "seeds" else (of.system.name,)
        return [one.metrics[name].score for one in rows if one.system.name in members]

    return compare_seeds(row, other, {name: (scores(row, name), scores(other, name)) for name in row.metrics})
