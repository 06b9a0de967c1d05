"""How well words are translated, by how often each occurs in the training text (Neubig et al. 2019, compare-mt)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from dragoman.evaluation.training_text import TrainingText
from dragoman.translation.guard import words_of

BUCKETS = ((0, 0), (1, 1), (2, 4), (5, 9), (10, 99), (100, 999), (1000, None))
"""The least and the most occurrences of a word on the target side of the training text; None: no limit."""


class Bucket(NamedTuple):
    """The words of a range of frequencies, over all lines of a test set."""

    least: int
    most: int | None
    hypothesis: int  # words of the range in the translations
    reference: int  # in the references
    matched: int  # of a line and its reference: of a word that one has twice and the other once, one

    @property
    def name(self) -> str:
        """The range in words: "0", "2-4", "1000+"."""
        return f"{self.least}+" if self.most is None else "-".join(dict.fromkeys((str(self.least), str(self.most))))

    @property
    def f1(self) -> float | None:
        """The F-score from 0 to 100: the harmonic mean of precision and recall. None if neither side has such words."""
        both = self.hypothesis + self.reference
        return 200 * self.matched / both if both else None


class WordScores(NamedTuple):
    """The words of a system's translations of a test set, by their frequency in training."""

    system: str
    test_set: str
    buckets: tuple[Bucket, ...]

    def as_json(self) -> dict[str, Any]:
        """The record for JSON: see docs/json.md."""
        buckets = [{"occurrences": one.name, "f1": one.f1, "words": one.reference} for one in self.buckets]
        return {"system": self.system, "test_set": self.test_set, "buckets": buckets}


def word_buckets(hypotheses: Sequence[str], references: Sequence[str], training: TrainingText) -> tuple[Bucket, ...]:
    """The matches of words by the frequency of the word in training.

    Words are compared in lower case and without punctuation; in scripts without spaces, each character is one. Their
    order and their place in the line do not count. The first bucket has words that training never saw: names, numbers,
    inventions.

        "ein roter Hund", "ein Hund"  ->  ein 1 of 1, Hund 1 of 1, roter only in the translation
    """
    own, others = ([Counter(words_of(line)) for line in lines] for lines in (hypotheses, references))
    matched = [one & other for one, other in zip(own, others, strict=True)]
    totals = [sum_of(counts) for counts in (own, others, matched)]
    words = list(totals[0] | totals[1])
    places = bucket_of(training.times(words))
    counts = [
        np.bincount(places, [total[word] for word in words], minlength=len(BUCKETS)).astype(int).tolist()
        for total in totals
    ]
    return tuple(Bucket(*limits, *of) for limits, of in zip(BUCKETS, zip(*counts, strict=True), strict=True))


def sum_of(counts: Sequence[Counter[str]]) -> Counter[str]:
    """The counts of all lines together."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total


def bucket_of(times: Int[np.ndarray, " words"]) -> Int[np.ndarray, " words"]:
    """The index in BUCKETS of each number of occurrences: 0, 3, 5000 -> 0, 2, 6."""
    return np.searchsorted([least for least, _ in BUCKETS], times, side="right") - 1


def word_table(found: Sequence[WordScores]) -> list[list[str]]:
    """Rows for a table, the first its header: the F-score of each bucket."""
    rows = [["system", "test set", "word F1, seen:", *(bucket.name for bucket in found[0].buckets)]]
    for one in found:
        scores = ["-" if bucket.f1 is None else f"{bucket.f1:.1f}" for bucket in one.buckets]
        rows.append([one.system, one.test_set, "", *scores])
    return rows
