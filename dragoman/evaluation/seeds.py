"""Systems trained with several seeds: their mean and spread, and what a difference means beside that spread."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from dragoman.evaluation.results import Comparison, Result, System
from dragoman.evaluation.significance import interval_of_seeds, p_over_seeds, verdict


def with_seeds(rows: Sequence[Result]) -> list[Result]:
    """The rows, and after the last seed of a system, its own: one for each test set that all its seeds share."""
    found: list[Result] = []
    for number, row in enumerate(rows):
        found.append(row)
        name = row.system.seed_of
        if not name or name in (later.system.seed_of for later in rows[number + 1 :]):
            continue
        own = [one for one in rows if one.system.seed_of == name]
        members = list(dict.fromkeys(one.system.name for one in own))
        system = System(name, "seeds", run=name, members=tuple(members))
        for test_set in dict.fromkeys(one.test_set for one in own):
            of_set = [one for one in own if one.test_set == test_set]
            if len(of_set) == len(members):
                found.append(result_of_seeds(system, of_set))
    return found


def result_of_seeds(system: System, rows: Sequence[Result]) -> Result:
    """The row of a system with several seeds: the mean of each metric, its spread, and the interval of the mean."""
    metrics = {}
    for name, first in rows[0].metrics.items():
        scores = [row.metrics[name].score for row in rows]
        between = interval_of_seeds(scores)
        metrics[name] = first._replace(
            score=fmean(scores),
            low=between.low if between else None,
            high=between.high if between else None,
            spread=stdev(scores) if len(scores) > 1 else None,
        )
    first_row = rows[0]
    perplexities = [row.perplexity for row in rows if row.perplexity is not None]
    return first_row._replace(
        system=system,
        metrics=metrics,
        checks=None,
        perplexity=fmean(perplexities) if len(perplexities) == len(rows) else None,
        sentences_per_second=None,
    )


def compare_seeds(result: Result, other: Result, scores: Mapping[str, Sequence[Sequence[float]]]) -> list[Comparison]:
    """A system against the baseline, one of them with several seeds: `scores` of each seed of both, by metric."""
    found = []
    for name, (ours, theirs) in scores.items():
        metric = result.metrics[name]
        difference, p = metric.score - other.metrics[name].score, p_over_seeds(ours, theirs)
        found.append(
            Comparison(
                result.system.name,
                other.system.name,
                result.test_set,
                name,
                difference,
                p,
                verdict(p, difference, larger_is_better=metric.larger_is_better),
                "Welch's t" if min(len(ours), len(theirs)) > 1 else "Student's t",
                n=len(ours) + len(theirs),
            )
        )
    return found
