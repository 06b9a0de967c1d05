"""Intervals and tests: what could be chance, over sentences by sacrebleu's own code, and over seeds by Student's t."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from sacrebleu.metrics.base import Metric as Scorer
from sacrebleu.significance import PairedTest, _bootstrap_resample, estimate_ci

from dragoman.evaluation.results import Verdict

LEVEL = 0.05  # a difference with a smaller p-value is taken as real
SEED = 12345  # sacrebleu's own
SAMPLES, TRIALS = 1000, 10_000  # sacrebleu's own
Statistics = Sequence[Sequence[int | float]]  # of each sentence what a metric counts: BLEU's n-grams, TER's edits


class Interval(NamedTuple):
    """The range of a score, 95%."""

    low: float
    high: float


class Difference(NamedTuple):
    """The p-values of a difference between two systems on the same sentences."""

    bootstrap: float
    randomization: float | None


class OverStatistics:
    """A scorer that takes statistics of sentences in the place of hypotheses, so that all tests share them."""

    def __init__(self, scorer: Scorer):
        self._scorer = scorer

    def _extract_corpus_statistics(self, hypotheses: Statistics, references: None) -> Statistics:
        return hypotheses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context in which sacrebleu draws with this seed, which it reads from the environment."""
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before


def interval(scorer: Scorer, statistics: Statistics, *, samples: int, seed: int) -> Interval:
    """sacrebleu's 95% interval of a score: the mean of bootstrap samples, and half the width of their middle 95%.

    `sacrebleu --confidence` prints it as "μ = mean ± half". It is symmetric, and so not quite the middle 95% itself.
    """
    with seeded(seed):
        _, scores = _bootstrap_resample([list(one) for one in statistics], scorer, samples)
    try:
        scores[0].estimate_ci(scores)
        mean, half = scores[0]._mean, scores[0]._ci
    except TypeError:  # a sample without any match has a score of another type, and sacrebleu cannot take their mean
        mean, half = estimate_ci(np.array([float(score.score) for score in scores]))
    return Interval(float(mean) - float(half), float(mean) + float(half))  # where they are float32, add as float64


def paired_tests(
    scorer: Scorer, statistics: Statistics, baseline: Statistics, *, samples: int, trials: int, seed: int
) -> Difference:
    """How probable so large a difference would be by chance, by paired bootstrap and by approximate randomisation.

    Both are sacrebleu's (Koehn 2004; Riezler and Maxwell 2005). Without `trials`, there is no randomisation.
    """

    def p_value(kind: str, count: int) -> float:
        systems: Any = [("baseline", baseline), ("system", statistics)]
        metrics: Any = {"metric": OverStatistics(scorer)}
        _, found = PairedTest(systems, metrics, references=None, test_type=kind, n_samples=count)()
        [results] = [column for name, column in found.items() if name != "System"]
        return float(results[1].p_value)  # type: ignore[union-attr, arg-type]

    with seeded(seed):
        return Difference(p_value("bs", samples), p_value("ar", trials) if trials else None)


def show_p(p: float) -> str:
    """A p-value: "p = 0.032", "p < 0.001". It has more decimals where three do not tell whether it is below LEVEL."""
    if p < 0.001:
        return "p < 0.001"
    decimals = next(n for n in range(3, 18) if (round(p, n) < LEVEL) == (p < LEVEL))
    return f"p = {p:.{decimals}f}"


def verdict(p: float, difference: float, *, larger_is_better: bool) -> Verdict:
    """Whether a difference in score is an improvement, a loss, or may be chance."""
    if p >= LEVEL or difference == 0:
        return "no evidence"
    return "better" if (difference > 0) == larger_is_better else "worse"


# --- seeds -------------------------------------------------------------------------------------------------


def interval_of_seeds(scores: Sequence[float]) -> Interval | None:
    """The 95% interval of the mean over seeds: mean ± t s / √k, with k - 1 degrees of freedom. None for one seed."""
    from scipy.stats import t  # slow to import

    if len(scores) < 2:
        return None
    half = float(t.ppf(1 - LEVEL / 2, len(scores) - 1)) * stdev(scores) / math.sqrt(len(scores))
    return Interval(fmean(scores) - half, fmean(scores) + half)


def p_over_seeds(scores: Sequence[float], baseline: Sequence[float]) -> float:
    """How probable so large a difference of means would be if both systems were the same, given the spread of seeds.

    Welch's t test (1947), two-sided: t = (x̄ - ȳ) / √(s²/k + r²/m), which does not assume that both systems spread
    alike. A system of one seed has no spread of its own, so that of the other is taken for both: Student's t,
    t = (x̄ - y) / (s √(1/k + 1)), with k - 1 degrees of freedom. ValueError if neither has two seeds.
    """
    from scipy.stats import t  # slow to import

    counts = [len(scores), len(baseline)]
    if max(counts) < 2:
        raise ValueError("one seed each: there is no spread to judge by")
    variances = [stdev(values) ** 2 if len(values) > 1 else None for values in (scores, baseline)]
    known = [variance for variance in variances if variance is not None]
    parts = [(known[0] if own is None else own) / count for own, count in zip(variances, counts, strict=True)]
    difference = abs(fmean(scores) - fmean(baseline))
    if not any(parts):
        return 1.0 if difference == 0 else 0.0
    if len(known) == 1:
        freedom = float(max(counts) - 1)
    else:  # Welch-Satterthwaite
        freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return 2 * float(t.sf(difference / math.sqrt(sum(parts)), freedom))
