"""Minimum Bayes risk: finds the translation that agrees most with all others."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

ORDER = 6  # character n-grams of chrF
BETA = 2  # recall counts twice as much as precision


def by_expected_utility(texts: Sequence[str]) -> list[int]:
    """Indices of the texts, by descending mean chrF against all texts, including repeats.

    The texts represent the distribution of translations, so a repeated sample weighs more (Eikema and Aziz 2020). On a
    tie, the earlier text comes first. "ab", "cd", "ab" -> [0, 2, 1].
    """
    utilities = pairwise_chrf(texts).mean(axis=1)
    return np.argsort(-utilities, kind="stable").tolist()


def pairwise_chrf(texts: Sequence[str]) -> Float[np.ndarray, "texts texts"]:
    """chrF of each text (row) against each text as reference (column), 0 to 100, as sacrebleu scores sentences."""
    different = list(dict.fromkeys(texts))
    count = len(different)
    precision, recall, orders = np.zeros((3, count, count))
    for size in range(1, ORDER + 1):
        ngrams = [ngrams_of(text, size) for text in different]
        known = {ngram: column for column, ngram in enumerate(dict.fromkeys(ngram for one in ngrams for ngram in one))}
        counts = np.zeros((count, len(known)), np.int64)
        for row, one in zip(counts, ngrams, strict=True):
            row[[known[ngram] for ngram in one]] = list(one.values())
        common = np.stack([np.minimum(row, counts).sum(axis=1) for row in counts])
        totals = counts.sum(axis=1)
        has_both = (totals[:, None] > 0) & (totals[None] > 0)
        precision += np.where(has_both, common / np.maximum(totals, 1)[:, None], 0)
        recall += np.where(has_both, common / np.maximum(totals, 1)[None], 0)
        orders += has_both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    score = (1 + BETA**2) * precision * recall / np.maximum(BETA**2 * precision + recall, 1e-16)
    indices = [different.index(text) for text in texts]
    return 100 * score[np.ix_(indices, indices)]


def ngrams_of(text: str, size: int) -> Counter[str]:
    """The n-grams of `size` characters of a text, ignoring white space, with their counts."""
    text = "".join(text.split())
    return Counter(text[first : first + size] for first in range(len(text) - size + 1))
