"""Scores of parts of a test set, by chrF: by the length of the source, and by how rare the rarest word is.

They are in chrF because BLEU says little of few and short sentences, where it often finds no run of four words.
"""

import bisect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sacrebleu.metrics import CHRF

from data.text.scripts import split_words
from dragoman.evaluation.results import Outputs
from dragoman.evaluation.significance import interval
from dragoman.reports.charts import Line, category_chart
from dragoman.reports.curves import Curve
from dragoman.reports.runs import Rarest

LENGTHS = (5, 10, 20, 40)
"""The longest source, in words, of each group but the last."""

OCCURRENCES = (0, 9, 99, 999)
"""How often the rarest word of a reference occurs in training, at most, in each group but the last."""

SAMPLES = 200  # of the bootstrap of a group: it is drawn, not tested, and the groups are many


class Scored(NamedTuple):
    """Outputs with what chrF counts in each sentence, and the colour of their system."""

    outputs: Outputs
    color: int
    statistics: list[list[int]]
    scores: list[float]  # of each sentence

    @classmethod
    def of(cls, outputs: Outputs, color: int) -> "Scored":
        """The outputs, scored."""
        metric, references = CHRF(), [list(lines) for lines in outputs.test_set.references]
        statistics = metric._extract_corpus_statistics(list(outputs.hypotheses), references)
        return cls(outputs, color, statistics, [_score(metric, [one]) for one in statistics])


def groups_of(values: Sequence[int], limits: Sequence[int]) -> dict[str, list[int]]:
    """The numbers of the sentences whose values are in each range: [3, 9, 4], (5,) -> {"up to 5": [0, 2], ...}."""
    groups: dict[str, list[int]] = {}
    names = [range_name(low, high) for low, high in zip([None, *limits], [*limits, None], strict=True)]
    for number, value in enumerate(values):
        groups.setdefault(names[bisect.bisect_left(limits, value)], []).append(number)
    return {name: groups[name] for name in names if name in groups}


def range_name(low: int | None, high: int | None) -> str:
    """A range as an axis shows it: "0", "up to 5", "6–10", "41+". `low` is excluded."""
    if low is None:
        return f"up to {high}" if high else "0"
    return f"{low + 1:,}+" if high is None else f"{low + 1:,}–{high:,}"


def by_length(scored: Sequence[Scored], *, seed: int) -> Curve | None:
    """A chart of chrF by the number of words of the source."""
    if not scored:
        return None
    lengths = [len(split_words(source)) for source in scored[0].outputs.test_set.sources]
    return _chart("By length of the source", "words of the source", groups_of(lengths, LENGTHS), scored, seed)


def by_rarest_word(scored: Sequence[Scored], rarest: Rarest | None, *, seed: int) -> Curve | None:
    """A chart of chrF by how often the rarest word of the reference occurs in training; None if that is not known."""
    if not scored or rarest is None:
        return None
    groups = groups_of(rarest.occurrences[scored[0].outputs.test_set.name], OCCURRENCES)
    unit = f"occurrences of the rarest word of the reference in the training text of {rarest.run}"
    return _chart("By rarest word", unit, groups, scored, seed)


def _chart(title: str, unit: str, groups: Mapping[str, list[int]], scored: Sequence[Scored], seed: int) -> Curve:
    """The chrF of each group by each system, with intervals."""
    metric, lines = CHRF(), []
    for one in scored:
        points, intervals = [], []
        for at, numbers in enumerate(groups.values()):
            statistics = [one.statistics[number] for number in numbers]
            points.append((at, _score(metric, statistics)))
            found = interval(metric, statistics, samples=SAMPLES, seed=seed) if len(numbers) > 1 else None
            intervals.append((found.low, found.high) if found else None)
        lines.append(Line(one.outputs.system.name, points, one.color, intervals))
    counts = ", ".join(f"{len(numbers):,}" for numbers in groups.values())
    return Curve(title, f"chrF by {unit}. Sentences in each group: {counts}.", category_chart(list(groups), lines))


def _score(metric: CHRF, statistics: list[list[int]]) -> float:
    """The chrF of some sentences together."""
    return float(metric._aggregate_and_compute(statistics).score)
