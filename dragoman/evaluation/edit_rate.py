"""The edit rate of text without spaces, over characters.

TER also moves phrases, which takes seconds for a line of a hundred characters: this counts insertions, deletions and
substitutions only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric, Score, Signature

SIGNATURE = "nrefs:{}|case:lc|tok:char|space:no|shifts:no"


class CharacterEditSignature(Signature):
    """The number of references, and what is counted."""

    def format(self, short: bool = False) -> str:
        """The signature as text."""
        return SIGNATURE.format(self.info["nrefs"])

    def __str__(self) -> str:
        return self.format()


class CharacterEditRate(Metric):
    """Edits per 100 characters of the references, in lower case and without white space: "你们好", "你好" -> 50.

    Of several references, the one that needs the fewest edits counts, and their mean length: as in sacrebleu's TER. A
    sentence's statistics are its edits and that length.
    """

    _SIGNATURE_TYPE = CharacterEditSignature

    def _preprocess_segment(self, sent: str) -> str:
        return plain(sent)

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": list(refs)}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict) -> list[int | float]:
        references = ref_kwargs["references"]
        length = sum(map(len, references)) / len(references)
        return [min(edit_distance(hypothesis, reference) for reference in references), length]

    def _compute_score_from_stats(self, stats: Any) -> Score:
        edits, length = stats
        return Score("TER", float(100 * edits / length) if length else 100.0 * bool(edits))

    def _aggregate_and_compute(self, stats: Any) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])


def plain(line: str) -> str:
    """The line in lower case without white space."""
    return "".join(line.lower().split())


def edit_distance(one: str, other: str) -> int:
    """The smallest number of characters to insert, delete or substitute (Levenshtein 1966): "abc", "bcd" -> 2."""
    columns = np.arange(len(other) + 1)
    letters = np.array([ord(letter) for letter in other], np.int32)
    row = columns
    for number, letter in enumerate(one, 1):
        cheapest = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        # Insertions run along the row: the least of each earlier cell plus its distance.
        row = np.minimum.accumulate(np.concatenate([[number], cheapest]) - columns) + columns
    return int(row[-1])
