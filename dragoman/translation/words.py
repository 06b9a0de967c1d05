"""The words of a text in any script, to find terms in it. Where spaces do not separate words, each character is one.

Other parts of the program split words at white space; here punctuation separates words as well.
"""

import functools
import re
import unicodedata
from typing import NamedTuple

from data.text.scripts import UNSPACED

JOINERS = "\u00ad\u200c\u200d\u2060"  # soft hyphen, joiners: inside a word, and never seen
INVISIBLE = re.compile(f"[{JOINERS}\u200b\ufeff]")
MARKED = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))  # where Unicode has combining marks


class Word(NamedTuple):
    """A word of a text, a character of an unspaced script with its marks, or one punctuation mark."""

    text: str
    start: int
    end: int
    key: str  # what is compared: in compatibility form (NFKC), without case and invisible characters


def words_in(text: str) -> list[Word]:
    """The words of a text, in order, with their places: "Ein Hund, 2 狗." -> Ein, Hund, ",", 2, 狗, "."

    Letters of scripts with spaces form a word together with digits and combining marks, so that no word ends between a
    letter and its vowel sign.
    """
    words = (Word(match[0], *match.span(), key=key_of(match[0])) for match in pattern().finditer(text))
    return [word for word in words if word.key]


def key_of(word: str) -> str:
    """The form in which words are compared, ignoring case."""
    return word.lower() if word.isascii() else visible(word).casefold()


def visible(word: str) -> str:
    """The word in compatibility form, without characters that nobody sees; its case is kept."""
    return word if word.isascii() else INVISIBLE.sub("", unicodedata.normalize("NFKC", word))


def goes_on_as_word(text: str) -> bool:
    """Whether a text written after a word would make it longer: "n" after "Herr", but not ".", "-" or " ein"."""
    return re.match(rf"(?![{UNSPACED}])[\w{marks()}]", text) is not None


@functools.cache
def pattern() -> re.Pattern[str]:
    """The regular expression of a word."""
    inside = marks() + JOINERS
    return re.compile(rf"[{UNSPACED}][{inside}]*|(?:(?![{UNSPACED}])[\w{inside}])+|\S")


@functools.cache
def marks() -> str:
    """All combining marks (Unicode category M), as ranges of a character class of a regular expression."""
    found = [code for codes in MARKED for code in codes if unicodedata.category(chr(code))[0] == "M"]
    starts = [code for code, before in zip(found, [-1, *found], strict=False) if code != before + 1]
    ends = [code for code, after in zip(found, [*found[1:], -1], strict=True) if code != after - 1]
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in zip(starts, ends, strict=True))
