"""The spellings of a word in the pieces of a vocabulary, by which a banned word is recognised."""

import re
from collections.abc import Mapping, Sequence

from data.text.scripts import UNSPACED
from data.vocabulary.pieces import SPACE
from data.vocabulary.tokenizer import Tokenizer

MOST_SPELLINGS = 200


def spell(words: Sequence[str], tokenizer: Tokenizer) -> dict[str, list[tuple[int, ...]]]:
    """The spellings of each word in target pieces, as ids, the usual one first; none for what it cannot write."""
    pieces = {piece: id_ for id_, piece in enumerate(tokenizer.target_vocabulary())} if words else {}
    found = {}
    for word in words:
        text = normalised(word, tokenizer)
        usual, ways = tuple(tokenizer.encode_target([text])[0]), spellings(text, pieces)
        found[word] = list(dict.fromkeys([usual, *ways])) if ways else []
    return found


def normalised(text: str, tokenizer: Tokenizer) -> str:
    """A target text as the pieces spell it, with one space between words."""
    return " ".join("".join(tokenizer.target_words(word)) for word in text.split())


def spellings(word: str, vocabulary: Mapping[str, int]) -> list[tuple[int, ...]]:
    """All ways to write a word in pieces of the vocabulary, as ids, shortest first; at most MOST_SPELLINGS.

    The word begins after a space: pieces `▁a`, `b`, `▁ab` write "ab" as (▁ab) and (▁a, b). A character that is no piece
    is written in bytes. A word that begins in a script without spaces may also follow other characters, and its first
    and its last piece may go beyond it: "天狗" and "狗" both write "狗".
    """
    text = SPACE + SPACE.join(word.split())
    ways = ways_to_write(text, vocabulary, {})
    if re.match(f"[{UNSPACED}]", word):
        inside = text.removeprefix(SPACE)
        ways += ways_to_write(inside, vocabulary, overhanging(inside, vocabulary))
    return list(dict.fromkeys(sorted(ways, key=len)))[:MOST_SPELLINGS]


Edges = dict[tuple[int, int], list[tuple[int, ...]]]  # the pieces that write text[start:end]


def ways_to_write(text: str, vocabulary: Mapping[str, int], more: Edges) -> list[tuple[int, ...]]:
    """The ways to write a text in pieces, bytes, and the edges that `more` adds; shortest first."""
    ways: list[list[tuple[int, ...]]] = [[()], *([] for _ in text)]
    longest = max(map(len, vocabulary), default=0)
    for end in range(1, len(text) + 1):
        for start in range(end):
            pieces = more.get((start, end), [])
            if end - start <= longest and (piece := vocabulary.get(text[start:end])) is not None:
                pieces = [(piece,), *pieces]
            elif end - start == 1:
                pieces = [*in_bytes(text[start], vocabulary), *pieces]
            ways[end] += [(*way, *ids) for way in ways[start] for ids in pieces]
        ways[end] = sorted(ways[end], key=len)[:MOST_SPELLINGS]
    return ways[-1]


def in_bytes(character: str, vocabulary: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The spelling of a character in byte pieces; none if the vocabulary has no bytes."""
    ids = [vocabulary.get(f"<0x{byte:02X}>") for byte in character.encode()]
    known = tuple(id_ for id_ in ids if id_ is not None)
    return [known] if len(known) == len(ids) else []


def overhanging(text: str, vocabulary: Mapping[str, int]) -> Edges:
    """The pieces that write the beginning or the end of a text, or all of it, and more before or after it."""
    edges: Edges = {}
    for piece, id_ in vocabulary.items():
        for size in range(1, min(len(text), len(piece) - 1) + 1):
            if piece.endswith(text[:size]):
                edges.setdefault((0, size), []).append((id_,))
            if piece.startswith(text[-size:]):
                edges.setdefault((len(text) - size, len(text)), []).append((id_,))
        if text in piece[1:-1]:
            edges.setdefault((0, len(text)), []).append((id_,))
    return edges
