"""The scores of the systems on a test set, as a number line for each metric."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dragoman.evaluation.results import MetricResult, Result, System
from dragoman.evaluation.significance import LEVEL, show_p
from dragoman.reports.curves import direction


class Row(NamedTuple):
    """A system on the number line of a metric; lengths are in percent of the line."""

    system: System
    color: int
    found: MetricResult
    at: float | None  # None off the line
    low: float
    high: float
    verdict: str
    is_baseline: bool


class Card(NamedTuple):
    """The scores of all systems on a test set by one metric."""

    label: str
    meaning: str
    rows: list[Row]


def cards(results: Sequence[Result], baseline: str, colors: Mapping[str, int]) -> list[Card]:
    """A number line for each metric."""
    names = dict.fromkeys(name for result in results for name in result.metrics)
    return [card([result for result in results if name in result.metrics], name, baseline, colors) for name in names]


def card(results: Sequence[Result], name: str, baseline: str, colors: Mapping[str, int]) -> Card:
    """The number line of a metric: as long as the scores and intervals need, and a little longer.

    Systems that need no model would make it so long that the others could not be told apart: they may be off the line.
    """
    models = [result for result in results if result.system.kind != "baseline" or result.system.name == baseline]
    models = models if len(models) > 1 else list(results)
    ends = [end for result in models for end in ends_of(result.metrics[name])]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    start, length = min(ends) - margin, max(ends) - min(ends) + 2 * margin
    rows = []
    for result in results:
        found = result.metrics[name]
        low, at, high = (round(100 * (end - start) / length, 2) for end in ends_of(found))
        rows.append(
            Row(
                system=result.system,
                color=colors[result.system.name],
                found=found,
                at=at if low >= 0 and high <= 100 else None,
                low=low,
                high=high,
                verdict=verdict_of(found),
                is_baseline=result.system.name == baseline,
            )
        )
    found = results[0].metrics[name]
    return Card(found.label or name, direction(found.larger_is_better), rows)


def verdict_of(found: MetricResult) -> str:
    """The verdict on a score with its p-value. Where all samples of the bootstrap are equal, its p says nothing."""
    if found.verdict is None or found.p is None:
        return found.verdict or ""
    if found.verdict == "no evidence" and found.p < LEVEL:
        return "no difference"
    return f"{found.verdict}, {show_p(found.p)}"


def ends_of(found: MetricResult) -> tuple[float, float, float]:
    """The low end of the interval of a score, the score, and the high end; three times the score without interval."""
    low, high = interval_of(found) or (found.score, found.score)
    return low, found.score, high


def interval_of(found: MetricResult) -> tuple[float, float] | None:
    """The interval of a score, if it has one."""
    return None if found.low is None or found.high is None else (found.low, found.high)
