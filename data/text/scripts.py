"""What the characters of a text show: which scripts it is in, and where its words are if no spaces separate them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

IDEOGRAPHS = "\u2e80-\u2fdf\u3005-\u3007\u3100-\u312f\u31a0-\u31bf\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, as in a character class of `re`, and Bopomofo."""

KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
"""Japanese syllables."""

HANGUL = "\uac00-\ud7af"
"""Korean syllables. Spaces separate Korean words."""

UNSPACED = (
    f"{IDEOGRAPHS}{KANA}"
    "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"  # Burmese, Khmer
    "\u1980-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df"  # New Tai Lue, Tai Tham, Balinese, Javanese
)
"""The characters of scripts that put no space between words. `data.languages.UNSPACED_SCRIPTS` names them."""

FULL_WIDTH = "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
"""The punctuation of Chinese and Japanese, with no spaces around it."""


def _marks() -> str:
    """Characters that belong to the one before them: accents, vowel signs, joiners, variation selectors."""
    blocks = (range(0x300, 0x370), range(0xE00, 0x1C00), range(0x3000, 0x3100), range(0xA980, 0xAA80))
    marks = (chr(code) for block in blocks for code in block if unicodedata.category(chr(code))[0] == "M")
    return "".join(marks) + "\u0e33\u0e45\u0eb3\u0f0b\uff9e\uff9f\u200b-\u200d\u2060\ufe00-\ufe0f\U000e0100-\U000e01ef"


STACKED = "\u17d2[\u1780-\u17b3]|\u1039[\u1000-\u102a]"
"""A consonant that Khmer and Burmese write below the one before."""

WORD = re.compile(rf"[{UNSPACED}](?:{STACKED}|[{_marks()}])*|[^\s{UNSPACED}]+")
LETTERS = re.compile(r"[^\W\d_]+")
IDEOGRAPH, SYLLABLE, ANY_UNSPACED = (re.compile(f"[{characters}]") for characters in (IDEOGRAPHS, KANA, UNSPACED))


def split_words(text: str) -> list[str]:
    """The words of a text: split at white space, and in scripts without spaces, each character with its marks.

        "Ein Hund läuft."  ->  Ein, Hund, läuft.          "iPhone买了。"  ->  iPhone, 买, 了, 。

    Joined, they are the text without its white space.
    """
    return text.split() if text.isascii() else WORD.findall(text)


class Words(NamedTuple):
    """How many words of a text are in which scripts. In a script without spaces, each letter counts as a word."""

    ideographs: int = 0
    kana: int = 0
    unspaced: int = 0  # in all scripts that put no space between words, those two included
    all: int = 0

    @property
    def are_unspaced(self) -> bool:
        """Whether most of the words are in scripts that put no space between them."""
        return 2 * self.unspaced > self.all


def count_words(lines: Iterable[str]) -> Words:
    """The words of some lines by script: ["我爱 NLP"] -> 2 ideographs, no kana, 2 unspaced, 3 in all."""
    counts = Counter[str]()
    for line in lines:
        unspaced = [] if line.isascii() else [letter for letter in ANY_UNSPACED.findall(line) if letter.isalpha()]
        counts["unspaced"] += len(unspaced)
        counts["all"] += len(unspaced) + len(LETTERS.findall(ANY_UNSPACED.sub(" ", line) if unspaced else line))
        if unspaced:
            counts["ideographs"] += len(IDEOGRAPH.findall(line))
            counts["kana"] += len(SYLLABLE.findall(line))
    return Words(**counts)
