"""The verdict of an evaluation: which system is better, and whether that is more than noise."""

from collections.abc import Sequence
from typing import NamedTuple

from dragoman.evaluation.results import Comparison, Evaluation, MetricResult
from dragoman.evaluation.significance import show_p


class Verdict(NamedTuple):
    """A sentence, and the figures that it rests on."""

    claim: str
    figures: str = ""


def verdict(evaluation: Evaluation, test_set: str) -> Verdict:
    """The verdict on a test set, by its first metric. It claims a difference only where a test found one.

    Systems that need no model, such as the source copied, count only if there are no others, or one is the baseline.
    """
    results = [result for result in evaluation.results if result.test_set == test_set and result.metrics]
    models = [one for one in results if one.system.kind != "baseline" or one.system.name == evaluation.baseline]
    results = models or results
    if not results:
        return Verdict("Nothing was scored.")
    metric = next(iter(results[0].metrics))
    scores = {result.system.name: result.metrics[metric] for result in results if metric in result.metrics}
    if len(scores) == 1:
        [(name, found)] = scores.items()
        return Verdict(f"{name} has {found.score:.2f} {label(found)}.", interval(found))
    compared = [one for one in evaluation.comparisons if (one.test_set, one.metric) == (test_set, metric)]
    compared = [one for one in compared if one.system in scores]
    if not compared:
        return _untested(scores)
    return _of_two(compared[0], scores) if len(compared) == 1 else _of_many(compared, scores)


def _of_two(one: Comparison, scores: dict[str, MetricResult]) -> Verdict:
    """What the test says of a system and the baseline."""
    unit = "sentences" if one.method == "paired bootstrap" else "seeds"
    name = label(scores[one.system])
    parts = [f"{scores[one.system].score:.2f} {name}"]
    if one.baseline in scores:
        parts[0] = f"{name} {scores[one.system].score:.2f} against {scores[one.baseline].score:.2f}"
    parts += [f"a difference of {one.difference:+.2f}", show_p(one.p)]
    figures = f"{', '.join(parts)} by {one.method} over {one.n:,} {unit}."
    if one.verdict == "no evidence":
        return Verdict(f"No evidence that {one.system} and {one.baseline} differ.", figures)
    return Verdict(f"{one.system} is {one.verdict} than {one.baseline}.", figures)


def _of_many(compared: Sequence[Comparison], scores: dict[str, MetricResult]) -> Verdict:
    """What the tests say of each system and the baseline."""
    baseline = compared[0].baseline
    parts = []
    for word in ("better", "worse"):
        if names := [one.system for one in compared if one.verdict == word]:
            parts.append(f"{listing(names)} {'is' if len(names) == 1 else 'are'} {word} than {baseline}")
    if names := [one.system for one in compared if one.verdict == "no evidence"]:
        parts.append(f"{'No' if not parts else 'no'} evidence that {listing(names, 'or')} differs from {baseline}")
    best = ", ".join(f"{name} {found.score:.2f}" for name, found in ranked(scores))
    return Verdict(f"{'; '.join(parts)}.", f"{label(scores[compared[0].system])}: {best}.")


def _untested(scores: dict[str, MetricResult]) -> Verdict:
    """The best score, and that it was not tested against chance."""
    (best, found), (second, other), *_ = ranked(scores)
    claim = f"{best} scores best; whether that is more than noise was not tested."
    figures = f"{label(found)} {found.score:.2f}, before {second} with {other.score:.2f}. --baseline NAME tests it."
    return Verdict(claim, figures)


def ranked(scores: dict[str, MetricResult]) -> list[tuple[str, MetricResult]]:
    """Names and scores, best first."""
    larger = next(iter(scores.values())).larger_is_better
    return sorted(scores.items(), key=lambda item: item[1].score, reverse=larger)


def label(found: MetricResult) -> str:
    """The name of a metric for people."""
    return found.label or found.name


def interval(found: MetricResult) -> str:
    """The interval of a score, in words; empty if it has none."""
    if found.low is None or found.high is None:
        return ""
    return f"95% interval: {found.low:.2f} to {found.high:.2f}."


def listing(names: Sequence[str], word: str = "and") -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else names[0]
