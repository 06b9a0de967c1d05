"""Splits a line into sentences without losing a character. If in doubt it does not split.

The terminators and what may follow them are those of Unicode's sentence boundaries (UAX #29). Added are abbreviations,
initials, ordinal numbers, and quotations, within which a line is never split.
"""

import functools
import re

from data.text.abbreviations import ORDINAL_STOP, VOWELLESS_WORDS, abbreviations

UNSPACED = "。！？｡"  # the stops of Chinese and Japanese, with no space after them
STOPS = f".!?…‼⁇⁈⁉؟۔।॥։።፧။៕។᙮܀܁܂{UNSPACED}"
CLOSERS = "\"'”’»›)]}」』）】〉》“‘«"
STOP = re.compile(f"[{STOPS}]")
END = re.compile(f"[{STOPS}]+(?: ?»)?[{re.escape(CLOSERS)}]*")
SPACE = re.compile(r"\s*")
IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")  # and kana
LAST_WORD = re.compile(r"[^\s\"'“”„‘’«»()\[\]]+$")
NEXT = re.compile(r"[\s\"'“”„‘’«»‹›()\[\]{}「『（【¿¡*•·–—-]*")
LONGEST_WORD = 40  # characters before a full stop that can be an abbreviation

LETTERS = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}|[^\W\d_]")  # "J", "U.S", "z.B"
ROMAN = re.compile("[IVX]+")
DIGITS = re.compile(r"\d{1,3}")
PRONOUN_I = re.compile(r"I\b")
VOWEL = re.compile("[aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýÿāăąēėęěīįıőōūůűųаеёиоуыэюяіїєαεηιουωάέήίόύώ]")
CLOSING = {
    '"': '"',
    "„": "“”",
    "“": "”",
    "«": "»",
    "»": "«",
    "‹": "›",
    "「": "」",
    "『": "』",
    "（": "）",
    "(": ")",
    "[": "]",
}
QUOTES = re.compile(f"[{re.escape(''.join(sorted({*CLOSING, *''.join(CLOSING.values())})))}]")


def split_sentences(line: str, language: str = "") -> list[str]:
    """The sentences of a line, each with the space after it; joined, they are the line. No sentence for "".

    `language` is a two-letter code, such as "de"; it decides about abbreviations and ordinal numbers.

        "It is 3.5 m. Dr. Who? Yes!"             ->  ["It is 3.5 m. ", "Dr. Who? ", "Yes!"]
        'He said "Stop! Now." and left. Ah.'     ->  ['He said "Stop! Now." and left. ', "Ah."]
        "Am 3. Oktober, z. B. hier" in German    ->  one sentence
    """
    body = line.rstrip(STOPS + CLOSERS + " ")
    if STOP.search(body) is None:
        return [line] if line else []
    starts = [0]
    quoted: list[tuple[int, int]] | None = None
    for match in END.finditer(line):
        end = SPACE.match(line, match.end()).end()  # type: ignore[union-attr]
        if end == len(line):
            break
        quoted = quotations(line) if quoted is None else quoted
        is_quoted = any(first < match.start() and match.end() <= last for first, last in quoted)
        if not is_quoted and is_boundary(line[starts[-1] : match.start()], match[0], line[match.end() :], language):
            starts.append(end)
    return [line[first:end] for first, end in zip(starts, [*starts[1:], len(line)], strict=True) if first < end]


def is_boundary(before: str, stops: str, after: str, language: str) -> bool:
    """Whether a sentence ends at these stops, which may have closing quotation marks. The line goes on with `after`."""
    marks = stops.rstrip(CLOSERS + " ")
    if not after[0].isspace():
        if marks[-1] in UNSPACED:
            return marks == stops or after[0] in CLOSING
        return marks[-1] in "!?" and marks == stops and IDEOGRAPH.match(after) is not None
    following = after[NEXT.match(after).end() :]  # type: ignore[union-attr]
    if following[:1].islower():
        return False
    if marks[0] == "…" or marks.startswith(".."):
        return PRONOUN_I.match(following) is None  # "Well... I think so."
    if stops != ".":
        return True
    word = LAST_WORD.search(before[-LONGEST_WORD:])
    return word is None or not is_abbreviation(word[0], language, is_first=before.strip() == word[0])


def is_abbreviation(word: str, language: str, *, is_first: bool) -> bool:
    """Whether the sentence goes on after this word and its full stop. `is_first`: the word is all there is before."""
    if DIGITS.fullmatch(word):
        return is_first or language in ORDINAL_STOP.split()
    if LETTERS.fullmatch(word):
        return True
    if ROMAN.fullmatch(word) and language in ORDINAL_STOP.split():
        return True
    lower = word.lower()
    if lower in known(language) or lower.rpartition("-")[2] in known(language):
        return True
    if language == "de" and lower.endswith("str"):  # Bahnhofstr.
        return True
    is_latin = word.isalpha() and word.isascii()
    return is_latin and not word.isupper() and language not in VOWELLESS_WORDS.split() and not VOWEL.search(lower)


@functools.cache
def known(language: str) -> frozenset[str]:
    """The abbreviations of a language."""
    return abbreviations(language)


def quotations(line: str) -> list[tuple[int, int]]:
    """The places of matching quotation marks and brackets: 'a "b" (c' -> [(2, 4)]. Unmatched ones are left out."""
    found: list[tuple[int, int]] = []
    open_marks: list[tuple[int, str]] = []
    for match in QUOTES.finditer(line):
        mark = match[0]
        depth = next((n for n in range(len(open_marks), 0, -1) if mark in open_marks[n - 1][1]), 0)
        if depth:
            found.append((open_marks[depth - 1][0], match.start()))
            del open_marks[depth - 1 :]
        elif mark in CLOSING:
            open_marks.append((match.start(), CLOSING[mark]))
    return found
