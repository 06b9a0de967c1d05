"""The verdict of an evaluation in a sentence: which system is better, and whether that is more than noise."""

from collections.abc import Sequence

from dragoman.evaluation.results import Comparison, Evaluation, MetricResult, Result


def verdict(evaluation: Evaluation, test_set: str) -> str:
    """A sentence on a test set, by its first metric. It claims a difference only where a test found one."""
    results = [result for result in evaluation.results if result.test_set == test_set and result.metrics]
    if not results:
        return f"Nothing was scored on {test_set}."
    metric = next(iter(results[0].metrics))
    results = [result for result in results if metric in result.metrics]
    if len(results) == 1:
        return _alone(results[0], metric)
    compared = [one for one in evaluation.comparisons if (one.test_set, one.metric) == (test_set, metric)]
    return _against_baseline(results, compared, metric) if compared else _untested(results, metric)


def _alone(result: Result, metric: str) -> str:
    return f"{result.system.name} has {show(result.metrics[metric])} on {result.test_set}."


def _against_baseline(results: Sequence[Result], compared: Sequence[Comparison], metric: str) -> str:
    """What the tests say of all systems against the baseline; of one other system, also the figures."""
    label, baseline = results[0].metrics[metric].label, compared[0].baseline
    scores = {result.system.name: result.metrics[metric] for result in results}
    if len(compared) == 1:
        [one] = compared
        unit = "sentences" if one.method == "paired bootstrap" else "seeds"
        figures = f"{one.difference:+.2f} {label}, p = {show_p(one.p)}, n = {one.n:,} {unit}"
        if one.verdict == "no evidence":
            return f"There is no evidence that {one.system} and {baseline} differ ({figures})."
        return f"{one.system} is {one.verdict} than {baseline} ({figures})."
    parts = []
    for word in ("better", "worse"):
        if names := [one.system for one in compared if one.verdict == word]:
            parts.append(f"{listing(names)} {'is' if len(names) == 1 else 'are'} {word} than {baseline} in {label}")
    if names := [one.system for one in compared if one.verdict == "no evidence"]:
        parts.append(f"there is no evidence that {listing(names, 'or')} differs from {baseline}")
    if baseline in scores:
        parts[-1] += f", which has {scores[baseline].score:.2f}"
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence.startswith("there") else f"{sentence}."


def _untested(results: Sequence[Result], metric: str) -> str:
    """The highest score, and that nobody has tested whether it means anything."""
    larger = results[0].metrics[metric].larger_is_better
    ranked = sorted(results, key=lambda result: result.metrics[metric].score, reverse=larger)
    best, second = ranked[0], ranked[1]
    return (
        f"{best.system.name} scores best, with {show(best.metrics[metric])}, before {second.system.name} with "
        f"{second.metrics[metric].score:.2f}. Whether that is more than noise was not tested."
    )


def show(found: MetricResult) -> str:
    """A score with its interval: "27.93 BLEU (95% interval 26.81 to 29.05)"."""
    interval = "" if found.low is None or found.high is None else f" (95% interval {found.low:.2f} to {found.high:.2f})"
    return f"{found.score:.2f} {found.label or found.name}{interval}"


def show_p(p: float) -> str:
    """A p-value: 0.032; below 0.001 only that."""
    return f"{p:.3f}" if p >= 0.001 else "less than 0.001"


def listing(names: Sequence[str], word: str = "and") -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else names[0]
