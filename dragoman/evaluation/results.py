"""The record of an evaluation: systems, test sets, outputs, scores and comparisons.

    evaluation = Evaluation(...)                  what `dragoman evaluate` has found
    evaluation.outputs                            one for each system and test set that has translations
    evaluation.results                            one row of the table each: scores, and counts of what looks wrong
    evaluation.comparisons                        each system against the baseline, one for each test set and metric

A row of seeds (`System.kind` "seeds") has a result, but no outputs of its own: its members have them. All records are
plain data. A table, a JSON file and a report are functions of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dragoman.evaluation.held_out import TestSet
from dragoman.translation.record import Details
from dragoman.translation.result import Translation

Kind = Literal["run", "average", "ensemble", "text", "baseline", "seeds"]
Verdict = Literal["better", "worse", "no evidence"]

NO_SEARCH: Mapping[str, Any] = {}
NO_SUPPLEMENTS: Mapping[str, Sequence[Any]] = {}


class System(NamedTuple):
    """What translates: a checkpoint, an average, an ensemble, or a text that came from elsewhere.

    The kinds: "run" is a checkpoint of a run; "average" a mean of checkpoints made for this evaluation; "ensemble"
    several runs whose probabilities are averaged; "text" a file of translations; "baseline" the source copied or
    translated word for word; "seeds" several runs that differ in their seed only, whose scores are averaged.
    """

    name: str  # unique in an evaluation, and how `--baseline` names it
    kind: Kind
    run: str = ""  # the run as the user gave it; the name, if there is none
    checkpoint: str = "-"  # "4000", "average", "best:5"; "-" without one
    step: int | None = None  # the last update of the parameters; None without a model
    members: tuple[str, ...] = ()  # the runs of an ensemble; of seeds, the names of their systems
    averaged: tuple[int, ...] = ()  # the steps of an average
    seed_of: str = ""  # the name of the system that this is one seed of
    parameters: int | None = None  # how many numbers it learned, those of all members of an ensemble
    parameters_sha256: str = ""


class ReferenceProbability(NamedTuple):
    """How probable a model finds the first reference of each line. References too long for it are left out."""

    log_probability: float  # the sum over sentences, a natural logarithm
    tokens: int  # with one for the end of each sentence
    sentences: int

    @property
    def perplexity(self) -> float | None:
        """exp(-log-probability per token). None without tokens."""
        return math.exp(-self.log_probability / self.tokens) if self.tokens else None


class Outputs(NamedTuple):
    """The translations of a test set by a system, line by line. What a text cannot know is None."""

    system: System
    test_set: TestSet
    hypotheses: Sequence[str]
    scores: Sequence[float] | None = None  # log-probability divided by the length penalty; larger is better
    log_probabilities: Sequence[float] | None = None  # natural logarithms, the end of the sentence included
    translations: Sequence[Translation] | None = None  # all that the search said
    details: Sequence[Details] | None = None  # words, confidences and alignments, if they were asked for
    references: ReferenceProbability | None = None  # None without a single model
    seconds: float | None = None  # how long the search took when it was made, without compiling
    is_cached: bool = False  # read from the cache: `seconds` are those of then
    search: Mapping[str, Any] = NO_SEARCH  # beam, length_penalty; "decoding": other knobs that are not the run's own
    chosen_by: str = ""  # the metric that chose among hypotheses, "chrf" with --mbr: its scores flatter these outputs


class MetricResult(NamedTuple):
    """The score of some outputs by one metric. Compare only scores with equal signatures.

    `low` and `high` are a 95% interval. Of outputs, it is sacrebleu's bootstrap over sentences: its mean, less and plus
    half the width of the middle 95%. Of seeds, it is that of the mean of their scores (Student's t), and `spread` is
    their sample standard deviation. Against a baseline, see `Comparison`.
    """

    name: str  # its key in METRICS, or the NAME of --metric
    score: float
    signature: str
    low: float | None = None  # None if no interval was asked for, or a single seed has none
    high: float | None = None
    spread: float | None = None  # of seeds only
    label: str = ""  # for people: "BLEU"
    larger_is_better: bool = True
    p: float | None = None  # by paired bootstrap, or for seeds by a t test; None without a baseline
    p_randomization: float | None = None  # by approximate randomisation
    verdict: Verdict | None = None
    is_flattered: bool = False  # the outputs were chosen by this metric (--mbr)


class Checks(NamedTuple):
    """What can be seen in outputs without a metric: lengths, and counts of sentences. The guard's words are used."""

    length_ratio: float  # characters of the outputs, divided by those of the first reference
    exact: int  # outputs that equal a reference
    empty: int  # without text, though the source has some
    copied: int  # the guard's "copy"
    looping: int  # the guard's "loop"
    long: int  # the guard's "long"
    short: int  # the guard's "short", the empty ones among them


class Result(NamedTuple):
    """A row of the table: a system on a test set."""

    system: System
    test_set: str  # its name
    sentences: int
    metrics: Mapping[str, MetricResult]  # by name, in the order of the table
    checks: Checks | None = None  # None for seeds
    perplexity: float | None = None  # of the first reference under the model, per token with EOS; None without a model
    perplexity_sentences: int | None = None  # as `ReferenceProbability.sentences`
    sentences_per_second: float | None = None
    search: Mapping[str, Any] = NO_SEARCH


class Comparison(NamedTuple):
    """A system against the baseline, by one metric on one test set.

    `difference` is the system's score less the baseline's. The verdict is "better" or "worse" where p is below 0.05,
    else "no evidence": the test set, or the number of seeds, is too small to tell, which is not to say that the systems
    are equal.
    """

    system: str  # names of systems
    baseline: str
    test_set: str
    metric: str
    difference: float
    p: float
    verdict: Verdict
    method: Literal["paired bootstrap", "Welch's t", "Student's t"]  # Student's if one of them is a single run or text
    n: int  # sentences; for t tests, the seeds of both systems together
    p_randomization: float | None = None  # None for t tests


class Evaluation(NamedTuple):
    """All that was found, and what is needed to find it again."""

    test_sets: Sequence[TestSet]
    outputs: Sequence[Outputs]
    results: Sequence[Result]
    comparisons: Sequence[Comparison] = ()
    baseline: str = ""  # the name of the system that others are compared with
    samples: int = 0  # of the bootstrap; 0: no intervals
    trials: int = 0  # of approximate randomisation
    seed: int = 0  # of both
    notes: Sequence[str] = ()  # warnings for people, one sentence each
    supplements: Mapping[str, Sequence[Any]] = NO_SUPPLEMENTS  # other records, by their key in JSON: see supplements.py
    is_complete: bool = True  # False: a request to stop came before the end

    def outputs_of(self, system: str, test_set: str) -> Outputs | None:
        """The outputs of a system, by its name, on a test set; None for seeds, and if it was not translated."""
        found = (one for one in self.outputs if (one.system.name, one.test_set.name) == (system, test_set))
        return next(found, None)
