"""Pairs that look wrong: a side in another script than its language's, or sides of very different lengths."""

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data.batch import Pair
from data.languages import language_of

WRITTEN_WITH = {
    **{"Latn": ["LATIN"], "Cyrl": ["CYRILLIC"], "Grek": ["GREEK"], "Arab": ["ARABIC"], "Hebr": ["HEBREW"]},
    **{"Deva": ["DEVANAGARI"], "Beng": ["BENGALI"], "Guru": ["GURMUKHI"], "Gujr": ["GUJARATI"], "Orya": ["ORIYA"]},
    **{"Taml": ["TAMIL"], "Telu": ["TELUGU"], "Knda": ["KANNADA"], "Mlym": ["MALAYALAM"], "Sinh": ["SINHALA"]},
    **{"Thai": ["THAI"], "Laoo": ["LAO"], "Mymr": ["MYANMAR"], "Khmr": ["KHMER"], "Tibt": ["TIBETAN"]},
    **{"Geor": ["GEORGIAN"], "Armn": ["ARMENIAN"], "Ethi": ["ETHIOPIC"], "Mong": ["MONGOLIAN"]},
    **{"Hani": ["CJK"], "Hans": ["CJK"], "Hant": ["CJK"], "Jpan": ["CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"]},
    **{"Kore": ["HANGUL", "CJK"]},
}
"""The first words of the Unicode names of a script's letters."""

OWN_LETTERS = 0.3  # a line with a smaller share of letters in its language's script is odd: "我买了iPhone" is not
RATIO = 3.0  # a pair is odd if its ratio of lengths is this many times the usual one, or its inverse
SMOOTHING = 5  # tokens added to each side, so that short lines are not odd by chance


@functools.lru_cache(1 << 16)
def _first_name(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def share_in_script(line: str, script: str) -> float:
    """The share of a line's letters that are in a script; 1 if it has no letters, or the script is not known here."""
    letters = [character for character in line if character.isalpha()]
    if not letters or script not in WRITTEN_WITH:
        return 1.0
    return sum(_first_name(letter) in WRITTEN_WITH[script] for letter in letters) / len(letters)


def in_other_script(lines: Sequence[str], language: str) -> list[int]:
    """The indices of the lines that are mostly in another script than the language's."""
    script = language_of(language).script
    return [
        place
        for place, line in enumerate(lines)
        if not (script == "Latn" and line.isascii()) and share_in_script(line, script) < OWN_LETTERS
    ]


def of_odd_ratio(sizes: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " odd"]:
    """The indices of the pairs whose sides, in tokens, have an unusual ratio for this text."""
    ratios = np.log((sizes[:, 0] + SMOOTHING) / (sizes[:, 1] + SMOOTHING))
    return np.flatnonzero(np.abs(ratios - np.median(ratios)) > np.log(RATIO)) if len(ratios) else np.zeros(0, np.int64)


def odd_pairs(pairs: Sequence[Pair], sizes: Int[np.ndarray, "n 2"], languages: Sequence[str]) -> dict[str, list[int]]:
    """The indices of the odd pairs, by kind."""
    found = {"length_ratio": of_odd_ratio(sizes).tolist()}
    for side, name in enumerate(("source_script", "target_script")):
        found[name] = in_other_script([pair[side] for pair in pairs], languages[side])
    return found
