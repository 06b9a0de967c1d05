"""How text is spelled in pieces: which pieces may come next while a given text is being written."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from data.batch import EOS, PAD, UNK
from data.vocabulary.pieces import BYTE, SPACE

LONGEST_REST = 32
"""Characters at the end of a beginning that may be spelled in any pieces; the pieces of earlier ones are fixed."""

ANYTHING, NOTHING = (0, 0), (1, 1)  # ranges of ranks
REPLACEMENT = "\ufffd"
FIRST_SURROGATE = 0xDC00


class Beginning(NamedTuple):
    """What an output must begin with: some pieces, and then some characters in any pieces that spell them.

    In state n, n of the characters have been spelled. The next piece either contains all the others, and perhaps goes
    on: then its rank is in `ranges[n]`. Or it spells only some of them: `steps[n][m]` is the piece that leads to state
    m. If the characters have been spelled exactly, the state is `len(steps) - 1`.
    """

    pieces: Sequence[int] = ()
    ranges: Sequence[tuple[int, int]] = ()  # the first rank and the one after the last, or ANYTHING
    steps: Sequence[Sequence[int]] = ()  # ids; PAD: no piece leads there


class Speller:
    """The pieces of a vocabulary in alphabetical order, in which those that begin with some text are neighbours."""

    def __init__(self, pieces: Sequence[str]):
        self._texts = ["" if id_ <= EOS else characters(piece) for id_, piece in enumerate(pieces)]
        order = sorted(range(len(pieces)), key=lambda id_: alphabetical(self._texts[id_]))
        self._sorted = [alphabetical(self._texts[id_]) for id_ in order]
        self._ids = {text: id_ for id_, text in enumerate(self._texts) if text}
        places = {id_: rank for rank, id_ in enumerate(order)}
        self.ranks = tuple(places[id_] for id_ in range(len(pieces)))
        """The place of each id in this order: special pieces, pieces that begin a word, all other pieces."""

    def range(self, text: str) -> tuple[int, int]:
        """The ranks of the pieces that begin with a text: the first, and the one after the last; perhaps NOTHING."""
        wanted = alphabetical(text)
        first = bisect_left(self._sorted, wanted)
        last = bisect_right(self._sorted, wanted, lo=first, key=lambda found: found[: len(wanted)])
        return (first, last) if first < last else NOTHING

    def beginning(self, text: str, encode: Callable[[Sequence[str]], list[list[int]]]) -> Beginning | None:
        """The beginning that a person has typed: perhaps half a word, or with a space at the end.

        None if the vocabulary cannot spell it. Spaces before the first word and repeated spaces carry no meaning.

            "Ein Hu"    the piece ▁Ein, then "▁Hu" in any pieces: ▁Hu, ▁Hund, ▁H and und, ...
            "Ein "      the piece ▁Ein, then a piece that begins a word, or the end
        """
        text = text.replace("\t", " ")
        [ids] = encode([" ".join(word for word in text.split(" ") if word)])
        if UNK in ids:
            return None
        if not ids:
            return Beginning()
        if text.endswith(" "):
            return self._before_word(ids)
        fixed = max(index for index, id_ in enumerate(ids) if not index or self._texts[id_].startswith(SPACE))
        while len(rest := "".join(self._texts[id_] for id_ in ids[fixed:])) > LONGEST_REST:
            fixed += 1
        return self._within_word(ids[:fixed], rest)

    def _before_word(self, ids: Sequence[int]) -> Beginning:
        """The pieces, then one that begins a word, or the end; after a space alone, one that does not begin a word."""
        first, last = self.range(SPACE)
        if (space := self._ids.get(SPACE)) is None:
            return Beginning(ids, [(first, last), ANYTHING], [[EOS, PAD], [PAD, PAD]])
        return Beginning(ids, [(first + 1, last), (last, len(self.ranks))], [[EOS, space], [PAD, PAD]])

    def _within_word(self, ids: Sequence[int], rest: str) -> Beginning:
        """The pieces, then the characters of `rest`, without steps to where no piece leads on."""
        size = len(rest)
        ranges = [*(self.range(rest[start:]) for start in range(size)), ANYTHING]
        steps = [[PAD] * (size + 1) for _ in ranges]
        goes_on = [one != NOTHING for one in ranges]
        for start in reversed(range(size)):
            for end in range(start + 1, size + 1):
                if goes_on[end] and (id_ := self._ids.get(rest[start:end])) is not None:
                    steps[start][end], goes_on[start] = id_, True
        return Beginning(ids, ranges, steps)


def characters(piece: str) -> str:
    """What a piece writes, one character for each character or byte: a byte is a lone surrogate, a space U+2581."""
    return chr(FIRST_SURROGATE + byte) if (byte := byte_of(piece)) is not None else piece


def alphabetical(text: str) -> str:
    """The key to sort by: a space comes before everything else."""
    return text.replace(SPACE, "\0")


def byte_of(piece: str) -> int | None:
    """The byte that a piece stands for: "<0x41>" -> 65, "A" -> None."""
    return int(found[1], 16) if (found := BYTE.fullmatch(piece)) else None


def byte_ids(pieces: Sequence[str]) -> tuple[int, ...]:
    """The ids of the pieces for the bytes 0 to 255, in this order; none if the vocabulary spells nothing in bytes."""
    ids = {byte: id_ for id_, piece in enumerate(pieces) if (byte := byte_of(piece)) is not None}
    return tuple(ids[byte] for byte in range(256)) if len(ids) == 256 else ()


def unwritable_ids(pieces: Sequence[str]) -> tuple[int, ...]:
    """The ids of pieces that no output should have, in ascending order.

    These are pieces that are no text: with control characters, or U+FFFD, which stands for undecodable bytes. And bytes
    of ASCII characters that have a piece of their own: no training text is spelled with them.
    """
    own = {piece.replace(SPACE, " ") for piece in pieces}

    def is_unwritable(piece: str) -> bool:
        if (byte := byte_of(piece)) is not None:
            return byte < 0x80 and chr(byte) in own
        return any(character == REPLACEMENT or unicodedata.category(character) == "Cc" for character in piece)

    return tuple(id_ for id_, piece in enumerate(pieces) if is_unwritable(piece))
