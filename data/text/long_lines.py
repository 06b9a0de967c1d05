"""Splits lines that are longer than the training lines, at the best places and without losing text."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

Token = TypeVar("Token")  # an id or a piece; rows of tokens have no EOS here

# Words. In Chinese and Japanese, which have no spaces, whole clauses.
UNITS = re.compile(r"[^\s。！？｡、，；：]*[。！？｡、，；：]+[」』”’）]*|[^\s。！？｡、，；：]+")
SENTENCE_END = re.compile(r"[.!?…。！？｡؟۔।॥།။។៕։።]+[\"'”’»)\]」』）]*$")
CLAUSE_END = re.compile(r"[,;:–—،؛、，；：၊፣]$")

TAIL = 32  # only the last characters of a word are searched: a thousand dots in a row would take seconds


def encode_parts(
    lines: Sequence[str], encode: Callable[[Sequence[str]], Sequence[Sequence[Token]]], *, room: int
) -> list[list[list[Token]]]:
    """The parts of each line, of at most `room` tokens: none for a blank line, one for most lines."""
    parts: list[list[list[Token]]] = []
    for line, row in zip(lines, encode(lines), strict=True):
        if not line.strip() or not row:
            parts.append([])
        else:
            parts.append([list(row)] if len(row) <= room else encode_long_line(line, encode, room=room))
    return parts


def encode_long_line(
    line: str, encode: Callable[[Sequence[str]], Sequence[Sequence[Token]]], *, room: int
) -> list[list[Token]]:
    """The parts of a line that does not fit, split between units. A unit that is itself too long is split anywhere."""
    spans = [match.span() for match in UNITS.finditer(line)]
    words = [line[start:end] for start, end in spans]
    ends = cut(words, [len(row) for row in encode(words)], room=room)
    texts = [line[spans[first][0] : spans[end - 1][1]] for first, end in zip([0, *ends], ends, strict=False)]
    return [list(row[first : first + room]) for row in encode(texts) for first in range(0, len(row), room)]


def cut(words: Sequence[str], sizes: Sequence[int], *, room: int) -> list[int]:
    """The ends of parts of at most `room` tokens: after a sentence if possible, else after a clause, else any word.

    A clause counts only in the second half of a part. If there are only words, the parts get equal lengths, because a
    last part of one word would be translated badly. A word that is too long becomes a separate part.

        words "So it is. Yes, it is so", sizes all 1   room 5  ->  [3, 7]     "So it is." "Yes, it is so"
        words "one two, three four", sizes all 1       room 3  ->  [2, 4]     "one two," "three four"
        words "one two three four", sizes all 1        room 3  ->  [2, 4]     "one two" "three four"
    """
    ends: list[int] = []
    start, rest = 0, sum(sizes)
    while start < len(words):
        parts = max(1, -(-rest // room))
        fits, even, total = start, start, 0
        while fits < len(words) and total + sizes[fits] <= room:
            total += sizes[fits]
            fits += 1
            if total * parts <= rest:
                even = fits
        end = len(words) if fits == len(words) else best_end(words, start, max(fits, start + 1), max(even, start + 1))
        rest -= sum(sizes[start:end])
        start = end
        ends.append(end)
    return ends


def best_end(words: Sequence[str], start: int, fits: int, even: int) -> int:
    """The best end of a part in (start, fits]: after a sentence, else after a clause, else `even`."""
    for end in range(fits, start, -1):
        if SENTENCE_END.search(words[end - 1][-TAIL:]):
            return end
    for end in range(fits, (start + fits) // 2, -1):
        if CLAUSE_END.search(words[end - 1]):
            return end
    return even
