"""How long the lines of a side are, in tokens, from counts alone: memory does not grow with the corpus."""

from typing import Any

import numpy as np
from jaxtyping import Int

LONGEST = 1 << 16  # longer lines are counted as this long


class Lengths:
    """Counts of lines by their length in tokens, including EOS."""

    def __init__(self) -> None:
        self._counts = np.zeros(LONGEST + 1, np.int64)
        self.tokens = 0

    def add(self, lengths: Int[np.ndarray, " n"]) -> None:
        """Counts some lines."""
        self._counts += np.bincount(np.minimum(lengths, LONGEST), minlength=LONGEST + 1)
        self.tokens += int(lengths.sum())

    def percentile(self, share: float) -> int:
        """The least length that this share of the lines does not exceed: of lengths 1, 2, 9, half are at most 2."""
        places = np.cumsum(self._counts)
        return int(np.searchsorted(places, max(1, np.ceil(share * places[-1])))) if places[-1] else 0

    def as_json(self) -> dict[str, Any]:
        """Tokens in all, the mean length, and percentiles."""
        lines = int(self._counts.sum())
        return {
            "tokens": self.tokens,
            "mean": round(self.tokens / max(1, lines), 2),
            "median": self.percentile(0.5),
            "p90": self.percentile(0.9),
            "p99": self.percentile(0.99),
            "longest": self.percentile(1.0),
        }
