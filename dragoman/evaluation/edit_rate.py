"""The edit rate of text without spaces, over characters.

TER also moves phrases, which takes seconds for a line of a hundred characters: this counts insertions, deletions and
substitutions only.
"""

from collections.abc import Sequence

import numpy as np

SIGNATURE = "nrefs:1|case:lc|tok:char|space:no|shifts:no"


def character_edit_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Edits per 100 characters of the references, in lower case and without white space: ["你们好"], ["你好"] -> 50."""
    pairs = [(plain(one), plain(other)) for one, other in zip(hypotheses, references, strict=True)]
    edits = sum(edit_distance(one, other) for one, other in pairs)
    length = sum(len(other) for _, other in pairs)
    return 100 * edits / length if length else 100.0 * bool(edits)


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
