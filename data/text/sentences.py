"""Splits a line into sentences without losing a character. If in doubt it does not split.

The terminators and what may follow them are those of Unicode's sentence boundaries (UAX #29). Added are abbreviations,
initials, ordinal numbers, and quotations, within which a line is never split.
"""

import re
from bisect import bisect_left

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
NEARBY = 80  # characters before and after a full stop that are looked at
DEEPEST = 20  # quotation marks and brackets that are open at once

LETTERS = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}|[^\W\d_]")  # "J", "U.S", "z.B"
ROMAN = re.compile("[IVX]+")
DIGITS = re.compile(r"\d{1,3}")
PRONOUN_I = re.compile(r"I\b")
ENGLISH_START = re.compile(r"(?:A|An|And|At|But|He|I|If|In|It|On|She|So|That|The|Then|There|They|This|We|When|You)\b")
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
    marked = line.replace(";", "?") if language == "el" else line
    if STOP.search(marked.rstrip(STOPS + CLOSERS + " ")) is None:
        return [line] if line else []
    starts = [0]
    quoted = quotations(line)
    for match in END.finditer(marked):
        end = SPACE.match(line, match.end()).end()  # type: ignore[union-attr]
        if end == len(line):
            break
        place = bisect_left(quoted, (match.start(), 0))
        is_quoted = place > 0 and match.end() <= quoted[place - 1][1]
        before = line[max(starts[-1], match.start() - NEARBY) : match.start()]
        after = line[match.end() : match.end() + NEARBY]
        if not is_quoted and is_boundary(before, match[0], after, language):
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
    word = LAST_WORD.search(before)
    if word is None:
        return True
    if language == "en" and "." in word[0] and ENGLISH_START.match(following):  # "at 5 p.m. She left"
        return True
    return not is_abbreviation(word[0], language, is_first=before.strip() == word[0])


def is_abbreviation(word: str, language: str, *, is_first: bool) -> bool:
    """Whether the sentence goes on after this word and its full stop. `is_first`: the word is all there is before."""
    if DIGITS.fullmatch(word):
        return is_first or language in ORDINAL_STOP.split()
    if LETTERS.fullmatch(word):
        return True
    if ROMAN.fullmatch(word) and language in ORDINAL_STOP.split():
        return True
    lower = word.lower()
    if not {lower, lower.rpartition("-")[2]}.isdisjoint(abbreviations(language)):
        return True
    if language == "de" and lower.endswith("str"):  # Bahnhofstr.
        return True
    is_plain = word.isalpha() and word.isascii() and word[1:].islower()
    return is_plain and language not in VOWELLESS_WORDS.split() and not VOWEL.search(lower)


def quotations(line: str) -> list[tuple[int, int]]:
    """The places of matching quotation marks and brackets, without those inside others: 'a "(b)" (c' -> [(2, 6)].

    Unmatched ones are left out.
    """
    found: list[tuple[int, int]] = []
    open_marks: list[tuple[int, str]] = []
    for match in QUOTES.finditer(line):
        mark = match[0]
        depth = next((n for n in range(len(open_marks), 0, -1) if mark in open_marks[n - 1][1]), 0)
        if depth:
            found.append((open_marks[depth - 1][0], match.start()))
            del open_marks[depth - 1 :]
        elif mark in CLOSING:
            open_marks = [*open_marks[1 - DEEPEST :], (match.start(), CLOSING[mark])]
    outermost: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if not outermost or first > outermost[-1][1]:
            outermost.append((first, last))
    return outermost
