"""How well a model knows how good its translations are: its confidence beside their chrF, and thresholds from that.

sentences   confidence is the mean probability of a token; the truth is the chrF of the sentence
words       confidence is the probability of the word; the truth is whether the reference has the word
"""

from collections import Counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.results import Outputs
from dragoman.evaluation.scoring import Evaluator, sentence_scores
from dragoman.translation.guard import words_of
from dragoman.translation.marks import Mark, Marks, confidence

BINS = 10
POOR = 0.6  # a translation is to be done again if its expected chrF is below this share of the mean
FEWEST = 40  # sentences to learn from
USEFUL = 0.1  # rank correlation: below it, confidence says nothing about chrF
TOO_LITTLE = "Confidence says too little here to mark translations by it"

Values: TypeAlias = Float[np.ndarray, " n"]


class Bin(NamedTuple):
    """Some sentences or words of similar confidence."""

    confidence: float  # their mean confidence
    truth: float  # their mean chrF, or the share of words that the reference has
    size: int


class Marked(NamedTuple):
    """The sentences with a mark that was learned from the other half of the lines."""

    mark: Mark
    size: int
    chrf: float | None  # their mean; None without any


class Calibration(NamedTuple):
    """What the confidence of a system says about its translations of a test set."""

    system: str
    test_set: str
    sentences: list[Bin]
    words: list[Bin]
    rank_correlation: float  # Spearman's, of confidence and chrF of sentences
    score_correlation: float  # the same of the score, by which hypotheses are ranked: it depends on the length
    word_auc: float | None  # see `area_under_curve`; None if all words are right, or all wrong
    marks: Marks | None  # None if confidence says too little
    marked: list[Marked]

    def as_json(self) -> dict[str, Any]:
        """The record for JSON: see docs/json.md."""
        lists = {name: [one._asdict() for one in getattr(self, name)] for name in ("sentences", "words", "marked")}
        return {**self._asdict(), **lists, "marks": self.marks._asdict() if self.marks else None}


def calibrate(outputs: Outputs, evaluator: Evaluator) -> Calibration:
    """The calibration of outputs that have translations and details, on the test set of the evaluator."""
    sure = np.array([confidence(one) for one in outputs.translations or ()])
    truth = np.array(sentence_scores(evaluator, METRICS["chrf"], outputs))
    words, is_right = word_truth(outputs)
    correlation = rank_correlation(sure, truth)
    is_useful = len(sure) >= FEWEST and correlation >= USEFUL
    sha256 = outputs.system.parameters_sha256
    return Calibration(
        outputs.system.name,
        outputs.test_set.name,
        bins_of(sure, truth),
        bins_of(words, is_right.astype(np.float64)),
        correlation,
        rank_correlation(np.array(outputs.scores or [0.0] * len(sure)), truth),
        area_under_curve(words, is_right),
        learn_marks(sure, truth, sha256) if is_useful else None,
        marked_by_halves(outputs, sure, truth) if is_useful else [],
    )


def word_truth(outputs: Outputs) -> tuple[Values, Bool[np.ndarray, " n"]]:
    """The confidence of every word of the outputs, and whether the reference has it, as often as it occurs so far.

    Words are compared in lower case, without punctuation; what is nothing but punctuation is left out.
    """
    found: list[tuple[float, bool]] = []
    for details, reference in zip(outputs.details or (), outputs.test_set.reference, strict=True):
        left = Counter(words_of(reference))
        for word, sure in zip(details.words, details.confidences, strict=True):
            if not (own := words_of(word)):
                continue
            is_right = all(left[one] > 0 for one in own)
            left.subtract(own)
            found.append((sure, is_right))
    return np.array([sure for sure, _ in found]), np.array([is_right for _, is_right in found], np.bool_)


def bins_of(sure: Values, truth: Values) -> list[Bin]:
    """Up to BINS bins of about as many members each, from the least confident to the most."""
    order = np.argsort(sure, kind="stable")
    parts = [part for part in np.array_split(order, min(BINS, len(order))) if len(part)] if len(order) else []
    return [Bin(float(sure[part].mean()), float(truth[part].mean()), len(part)) for part in parts]


def rank_correlation(one: Values, other: Values) -> float:
    """Spearman's rank correlation; 0 if either side does not vary."""
    from scipy.stats import spearmanr  # slow to import

    if len({*one.tolist()}) < 2 or len({*other.tolist()}) < 2:
        return 0.0
    return float(spearmanr(one, other).statistic)


def area_under_curve(sure: Values, is_right: Bool[np.ndarray, " n"]) -> float | None:
    """The probability that a right word has a higher confidence than a wrong one; 0.5 is chance.

    This is the area under the ROC curve, or Mann and Whitney's U divided by the number of pairs.
    """
    from scipy.stats import rankdata  # slow to import

    right, wrong = int(is_right.sum()), int((~is_right).sum())
    if not right or not wrong:
        return None
    return float((rankdata(sure)[is_right].sum() - right * (right + 1) / 2) / (right * wrong))


def calibration_curve(sure: Values, truth: Values) -> tuple[Values, Values]:
    """The confidences in order, and the expected truth of each by isotonic regression, which never falls.

    Neighbours that would fall are pooled (Ayer et al. 1955): truths 1, 3, 2, 5 in the order of confidence -> 1, 2.5,
    2.5, 5.
    """
    from scipy.optimize import isotonic_regression  # slow to import

    order = np.lexsort((-truth, sure))  # of equal confidences the best first, so that they are pooled
    return sure[order], isotonic_regression(truth[order]).x


def learn_marks(sure: Values, truth: Values, parameters_sha256: str) -> Marks:
    """The thresholds: good from where the expected chrF reaches its mean, redo below POOR times the mean.

    The expected chrF is that of isotonic regression. Where it is nowhere that low, nothing is to be done again.
    """
    confidences, expected = calibration_curve(sure, truth)
    mean = truth.mean()
    good = confidences[min(int(np.searchsorted(expected, mean)), len(expected) - 1)]
    poor = int(np.searchsorted(expected, POOR * mean))
    return Marks(float(good), float(confidences[poor]) if poor else 0.0, parameters_sha256)


def marked_by_halves(outputs: Outputs, sure: Values, truth: Values) -> list[Marked]:
    """The mean chrF of each mark, where every line is marked by thresholds learned from the other half of the lines."""
    halves = np.arange(len(sure)) % 2 == 0
    by_mark: dict[Mark, list[float]] = {"good": [], "check": [], "redo": []}
    for half in (halves, ~halves):
        marks = learn_marks(sure[~half], truth[~half], "")
        for number in np.flatnonzero(half).tolist():
            by_mark[marks.mark((outputs.translations or ())[number])].append(float(truth[number]))
    return [Marked(mark, len(own), float(np.mean(own)) if own else None) for mark, own in by_mark.items()]


def words_in_words(found: Calibration) -> list[str]:
    """What the confidence of words is worth, in a sentence; none if that is not known."""
    if found.word_auc is None:
        return []
    return [
        "The model is more confident of a word that the reference has than of one that it lacks in "
        f"{found.word_auc:.0%} of pairs (50%: chance)."
    ]


def calibration_lines(found: Calibration) -> list[str]:
    """The calibration in words."""
    correlation = (
        f"rank correlation with chrF: confidence {found.rank_correlation:.2f}, score {found.score_correlation:.2f}"
    )
    lines = [f"{found.system} on {found.test_set}: {correlation}."]
    lines += words_in_words(found)
    if found.marks is None:
        return [*lines, f"{TOO_LITTLE}."]
    total = sum(one.size for one in found.marked)
    for one in found.marked:
        chrf = "" if one.chrf is None else f", mean chrF {one.chrf:.1f}"
        lines.append(f"  {one.mark:5}  {one.size / total:4.0%} of the sentences{chrf}")
    return [*lines, f"good: confidence {found.marks.good:.3f} or more; redo: below {found.marks.redo:.3f}."]
