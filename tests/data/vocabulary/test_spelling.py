"""What may come next while a text is being written, against a search over all ways to write it."""

import itertools

import pytest

from data.batch import EOS, PAD, UNK
from data.vocabulary.spelling import ANYTHING, LONGEST_REST, Beginning, Speller, byte_ids, characters, unwritable_ids

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = [
    "▁",
    "▁Ein",
    "▁H",
    "▁Hu",
    "▁Hund",
    "▁Hunde",
    "▁Haus",
    "H",
    "u",
    "n",
    "d",
    "nd",
    "und",
    "e",
    "s",
    "我",
    "们",
    "我们",
]
PIECES = [*SPECIAL, *BYTES, *TEXT]
ID = {piece: id_ for id_, piece in enumerate(PIECES)}


def encode(lines: list[str]) -> list[list[int]]:
    """The longest piece first, and bytes for what is in no piece."""
    rows = []
    for line in lines:
        text, row = ("▁" + line.replace(" ", "▁")) if line else "", []
        while text:
            piece = next((text[:size] for size in range(len(text), 0, -1) if text[:size] in ID), "")
            row += [ID[piece]] if piece else [ID[f"<0x{byte:02X}>"] for byte in text[0].encode()]
            text = text[max(len(piece), 1) :]
        rows.append(row)
    return rows


def may_follow(begin: Beginning, speller: Speller, state: int) -> set[str]:
    """The pieces that may come in a state."""
    first, last = begin.ranges[state]
    allowed = {piece for id_, piece in enumerate(PIECES) if first <= speller.ranks[id_] < last}
    return allowed | {PIECES[id_] for id_ in begin.steps[state] if id_ != PAD}


@pytest.fixture(scope="module")
def speller() -> Speller:
    return Speller(PIECES)


def test_after_half_a_word_comes_what_completes_it_or_spells_more_of_it(speller):
    begin = speller.beginning("Ein Hu", encode)
    assert begin.pieces == [ID["▁Ein"]]
    assert may_follow(begin, speller, 0) == {"▁", "▁H", "▁Hu", "▁Hund", "▁Hunde"}
    assert begin.steps[0][1:3] == [ID["▁"], ID["▁H"]]
    assert may_follow(begin, speller, 1) == {"H"}
    assert may_follow(begin, speller, 2) == {"u", "und"}
    assert begin.ranges[3] == ANYTHING


def test_pieces_that_lead_nowhere_are_not_begun():
    pieces = [*SPECIAL, "▁a", "▁ab", "▁abc"]
    speller = Speller(pieces)
    begin = speller.beginning("abc", lambda lines: [[6]])
    assert [begin.steps[0][end] for end in (2, 3)] == [PAD, PAD]
    assert begin.steps[0][4] == 6
    assert begin.ranges[0] == (speller.ranks[6], speller.ranks[6] + 1)


def test_after_a_space_comes_a_new_word_or_the_end_and_after_a_piece_of_space_no_second_one(speller):
    begin = speller.beginning("Ein ", encode)
    assert begin.pieces == [ID["▁Ein"]]
    words = {piece for piece in TEXT if piece.startswith("▁")}
    assert may_follow(begin, speller, 0) == words | {"</s>"}
    assert begin.steps[0] == [EOS, ID["▁"]]
    assert may_follow(begin, speller, 1) == set(PIECES) - words - set(SPECIAL)


def test_without_spaces_between_words_every_way_to_write_the_text_remains(speller):
    begin = speller.beginning("我们", encode)
    assert begin.pieces == []
    assert may_follow(begin, speller, 0) == {"▁"}
    assert may_follow(begin, speller, 1) == {"我", "我们"}
    assert begin.steps[1][2:4] == [ID["我"], ID["我们"]]


@pytest.mark.parametrize("text", ["Hund", "Ein Hunde", "Ein Hu狗", "我们我们", "Ein u" + "nd" * 30])
def test_exactly_the_sequences_whose_text_begins_with_the_beginning_are_allowed(speller, text):
    begin = speller.beginning(text, encode)
    head = "".join(characters(PIECES[id_]) for id_ in begin.pieces)
    rest = "".join(characters(PIECES[id_]) for id_ in encode([text])[0]).removeprefix(head)
    assert len(rest) <= LONGEST_REST
    candidates = [id_ for id_, piece in enumerate(PIECES) if piece in TEXT or characters(piece) in rest]

    def allowed(ids: tuple[int, ...]) -> bool:
        state = 0
        for id_ in ids:
            if begin.ranges[state] == ANYTHING:
                return True
            first, last = begin.ranges[state]
            if id_ in begin.steps[state]:
                state = begin.steps[state].index(id_)
            else:
                return first <= speller.ranks[id_] < last
        return True

    for ids in itertools.product(candidates, repeat=2):
        written = "".join(characters(PIECES[id_]) for id_ in ids)
        assert allowed(ids) == (written.startswith(rest) or rest.startswith(written)), (PIECES[ids[0]], PIECES[ids[1]])


def test_white_space_that_carries_no_meaning_and_unknown_characters(speller):
    assert speller.beginning("  Ein \t Hu", encode) == speller.beginning("Ein Hu", encode)
    assert speller.beginning(" \t", encode) == Beginning()
    assert speller.beginning("x", lambda lines: [[UNK]]) is None


def test_bytes_and_pieces_that_are_no_text_are_found():
    assert byte_ids(PIECES) == tuple(range(4, 260))
    assert byte_ids([*SPECIAL, *TEXT]) == ()
    pieces = ["a", "\x1b", "a\x85", "\ufffd", "\u200b"]
    assert unwritable_ids(pieces) == (1, 2, 3)
    pieces = ["▁", "a", *BYTES]
    assert [pieces[id_] for id_ in unwritable_ids(pieces)] == ["<0x20>", "<0x61>"]
