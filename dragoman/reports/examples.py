"""Which sentences of a test set the report shows: where two systems differ most, and the worst of each system."""

from collections.abc import Sequence
from typing import NamedTuple

from dragoman.evaluation.results import Evaluation, Result, System
from dragoman.reports.breakdown import Scored
from dragoman.reports.sentences import Sentence, lowest, most_different, sentence

SHOWN = 6
"""Sentences of each list: enough to see a pattern, few enough to read."""


class Pair(NamedTuple):
    """Two systems, and the sentences at which the second gains most over the first, and loses most."""

    first: System
    second: System
    gains: list[Sentence]
    losses: list[Sentence]


class Worst(NamedTuple):
    """A system and its sentences with the lowest scores."""

    system: System
    color: int
    sentences: list[Sentence]


def pair(evaluation: Evaluation, results: Sequence[Result], scored: Sequence[Scored]) -> Pair | None:
    """The baseline and the best other system, or the two best if there is no baseline; None without two outputs."""
    ranked = ranking(results, scored)
    first = next((one for one in ranked if is_or_seeds(one.outputs.system, evaluation.baseline)), None)
    if first is None and len(ranked) > 1:
        first = ranked[1]
    second = next((one for one in ranked if one is not first), None)
    if first is None or second is None:
        return None
    gains, losses = most_different(first.scores, second.scores, SHOWN)
    return Pair(
        first.outputs.system,
        second.outputs.system,
        [sentence(number, [first, second]) for number in gains],
        [sentence(number, [first, second]) for number in losses],
    )


def ranking(results: Sequence[Result], scored: Sequence[Scored]) -> list[Scored]:
    """The outputs by their score in the first metric, best first. Those that need no model come last."""
    found = {result.system.name: next(iter(result.metrics.values())) for result in results if result.metrics}

    def key(one: Scored) -> tuple[bool, float]:
        own = found.get(one.outputs.system.name)
        goodness = 0.0 if own is None else own.score if own.larger_is_better else -own.score
        return one.outputs.system.kind == "baseline", -goodness

    return sorted(scored, key=key)


def is_or_seeds(system: System, name: str) -> bool:
    """Whether a system has this name, or is one seed of the system that has it."""
    return bool(name) and name in (system.name, system.seed_of)


def worst(one: Scored) -> Worst:
    """The sentences of a system with the lowest scores."""
    return Worst(one.outputs.system, one.color, [sentence(number, [one]) for number in lowest(one.scores, SHOWN)])
