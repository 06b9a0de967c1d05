"""Scores outputs by metrics, with intervals, and compares them with those of a baseline."""

from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics.base import Metric as Scorer

from dragoman.evaluation.checks import check_outputs
from dragoman.evaluation.command_metric import CommandMetric
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept, hash_of
from dragoman.evaluation.metrics import Metric, check_lengths
from dragoman.evaluation.results import Comparison, MetricResult, Outputs, Result
from dragoman.evaluation.significance import (
    Difference,
    Interval,
    Statistics,
    interval,
    paired_tests,
    verdict,
)
from dragoman.messages import warn_once

AnyMetric = Metric | CommandMetric
MOST_BYTES = 4 << 30  # that sacrebleu's resampling may take; of a larger text there are no intervals
FLATTERED = {"chrf": ("chrf", "chrf++")}  # the metrics that see what another has chosen


class Evaluator:
    """Scores outputs for one test set. Statistics of sentences are counted once for each text, and cached."""

    def __init__(
        self,
        test_set: TestSet,
        metrics: Sequence[AnyMetric],
        cache: Kept,
        *,
        samples: int,
        trials: int,
        seed: int,
    ):
        self.test_set, self.metrics, self.cache = test_set, metrics, cache
        self.samples, self.trials, self.seed = samples, trials, seed
        self.references = [list(lines) for lines in test_set.references]
        self._sha256 = hash_of(*self.references)
        self._scorers: dict[str, Scorer] = {}
        self._statistics: dict[tuple[str, str], Statistics] = {}

    def scorer(self, metric: AnyMetric) -> Scorer:
        """The scorer of a metric for these references."""
        if metric.name not in self._scorers:
            lines = [line for one in self.references for line in one]
            scorer: Any = metric.scorer(self.test_set.language, lines)
            scorer.num_refs = len(self.references)  # sacrebleu sets it with the references; a signature needs it
            self._scorers[metric.name] = scorer
        return self._scorers[metric.name]

    def statistics(self, metric: AnyMetric, hypotheses: Sequence[str]) -> Statistics:
        """What the metric counts in each sentence. Those of a command are not cached: its program may change."""
        scorer: Any = self.scorer(metric)
        text = hash_of(hypotheses)
        if (metric.name, text) in self._statistics:
            return self._statistics[metric.name, text]

        def count() -> Statistics:
            if scorer._ref_cache is None:
                scorer._ref_cache = scorer._cache_references(self.references)
            found: Statistics = scorer._extract_corpus_statistics(list(hypotheses), None)
            return found

        check_lengths(hypotheses, self.references)
        if isinstance(metric, CommandMetric):
            found: Statistics = [[score, 1] for score in metric.sentence_scores(self.test_set, hypotheses)]
        else:
            key = [str(scorer.get_signature()), self._sha256, text]
            found = self.cache.get("statistics", key, count, about=self._about(metric))
        self._statistics[metric.name, text] = found
        return found

    def score(self, metric: AnyMetric, outputs: Outputs) -> MetricResult:
        """The score of some outputs, with its interval."""
        scorer, found = self.scorer(metric), self.statistics(metric, outputs.hypotheses)
        between = self.interval(metric, outputs.hypotheses)
        return MetricResult(
            metric.name,
            float(scorer._aggregate_and_compute([list(one) for one in found]).score),
            str(scorer.get_signature()),
            low=between.low if between else None,
            high=between.high if between else None,
            label=metric.label,
            larger_is_better=metric.larger_is_better,
            is_flattered=metric.name in FLATTERED.get(outputs.chosen_by, ()),
        )

    def score_of_lines(self, metric: AnyMetric, outputs: Outputs, lines: Sequence[int]) -> float:
        """The score of some lines alone, by their numbers from 0 on."""
        scorer, found = self.scorer(metric), self.statistics(metric, outputs.hypotheses)
        return float(scorer._aggregate_and_compute([list(found[line]) for line in lines]).score)

    def interval(self, metric: AnyMetric, hypotheses: Sequence[str]) -> Interval | None:
        """The bootstrap interval of a score; None without samples, and for a text that is too large."""
        found = self.statistics(metric, hypotheses)
        if not self.samples or self.is_too_large(self.samples * 4 * len(found[0]), "--samples"):
            return None
        key = [self._key(metric, hypotheses), self.samples, self.seed]

        def draw() -> Interval:
            return interval(self.scorer(metric), found, samples=self.samples, seed=self.seed)

        return Interval(*self._cached("intervals", metric, key, draw))

    def difference(self, metric: AnyMetric, hypotheses: Sequence[str], baseline: Sequence[str]) -> Difference | None:
        """The p-values of the difference from a baseline; None as in `interval`."""
        ours, theirs = (self.statistics(metric, lines) for lines in (hypotheses, baseline))
        if not self.samples or self.is_too_large(self.samples * 8 * len(ours[0]), "--samples"):
            return None
        trials = 0 if self.is_too_large(self.trials * 16, "--trials") else self.trials
        keys = [self._key(metric, lines) for lines in (hypotheses, baseline)]

        def test() -> Difference:
            scorer = self.scorer(metric)
            return paired_tests(scorer, ours, theirs, samples=self.samples, trials=trials, seed=self.seed)

        return Difference(*self._cached("differences", metric, [keys, self.samples, trials, self.seed], test))

    def is_too_large(self, bytes_a_sentence: int, option: str) -> bool:
        """Whether resampling would take too much memory, with a warning."""
        if bytes_a_sentence * len(self.references[0]) <= MOST_BYTES:
            return False
        warn_once(
            f"{self.test_set.name}: {len(self.references[0])} lines are too many for sacrebleu's resampling in "
            f"{MOST_BYTES >> 30} GiB, so some intervals or p-values are left out: give a smaller {option}"
        )
        return True

    def _key(self, metric: AnyMetric, hypotheses: Sequence[str]) -> Any:
        found = self.statistics(metric, hypotheses)
        about = found if isinstance(metric, CommandMetric) else hash_of(hypotheses)
        return [str(self.scorer(metric).get_signature()), self._sha256, about]

    def _cached(self, kind: str, metric: AnyMetric, key: Any, compute: Any) -> Any:
        return self.cache.get(kind, key, compute, about=self._about(metric))

    def _about(self, metric: AnyMetric) -> str:
        return f"{metric.name}, {self.test_set.name}, {len(self.test_set.sources)} lines"

    # --- rows of the table ---------------------------------------------------------------------------------

    def result(self, outputs: Outputs) -> Result:
        """The row of some outputs."""
        checks, references = check_outputs(outputs), outputs.references
        return Result(
            outputs.system,
            self.test_set.name,
            len(self.test_set.sources),
            {metric.name: self.score(metric, outputs) for metric in self.metrics},
            checks,
            perplexity=references.perplexity if references else None,
            perplexity_sentences=references.sentences if references else None,
            sentences_per_second=len(outputs.hypotheses) / outputs.seconds if outputs.seconds else None,
            search=outputs.search,
        )

    def compare(self, outputs: Outputs, baseline: Outputs, result: Result, other: Result) -> list[Comparison]:
        """Some outputs against those of the baseline, by each metric, over sentences."""
        found = []
        for metric in self.metrics:
            p = self.difference(metric, outputs.hypotheses, baseline.hypotheses)
            if p is None:
                continue
            difference = result.metrics[metric.name].score - other.metrics[metric.name].score
            found.append(
                Comparison(
                    outputs.system.name,
                    baseline.system.name,
                    self.test_set.name,
                    metric.name,
                    difference,
                    p.bootstrap,
                    verdict(p.bootstrap, difference, larger_is_better=metric.larger_is_better),
                    "paired bootstrap",
                    n=len(self.test_set.sources),
                    p_randomization=p.randomization,
                )
            )
        return found


def sentence_scores(evaluator: Evaluator, metric: AnyMetric, outputs: Outputs) -> list[float]:
    """The score of each sentence by a metric. chrF suits sentences; BLEU does not, as few have runs of four words."""
    scorer: Any = evaluator.scorer(metric)
    found = evaluator.statistics(metric, outputs.hypotheses)
    return [float(scorer._compute_score_from_stats(list(one)).score) for one in found]
