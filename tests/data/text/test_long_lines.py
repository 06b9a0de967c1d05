"""Long lines are split at the best places, and no text is lost."""

import hypothesis.strategies as st
from hypothesis import given

from data.text.long_lines import cut, encode_parts


def by_character(lines):
    """A tokenizer with one id for each character except spaces."""
    return [[ord(c) for c in line if not c.isspace()] for line in lines]


def texts(line, limit):
    return ["".join(map(chr, row)) for row in encode_parts([line], by_character, room=limit - 1)[0]]


def test_cuts_fall_after_sentences_then_clauses_then_words():
    assert cut(["So", "it", "is.", "Yes,", "it", "is", "so"], [1] * 7, room=5) == [3, 7]
    assert cut(["one", "two,", "three", "four"], [1] * 4, room=3) == [2, 4]
    assert cut(["one", "two", "three", "four"], [1] * 4, room=3) == [2, 4]
    assert cut(["one", "endless", "two"], [1, 9, 1], room=3) == [1, 2, 3]


def test_a_line_of_words_alone_is_split_evenly():
    assert cut(["word"] * 33, [1] * 33, room=32) == [16, 33]
    assert cut(["word"] * 100, [1] * 100, room=32) == [25, 50, 75, 100]
    assert cut(["mm", *["m"] * 8], [2, *[1] * 8], room=4) == [2, 5, 9]


def test_a_row_of_dots_is_split_quickly():
    assert cut(["." * 1_000_000 + "x", "y"], [9, 1], room=3) == [1, 2]


def test_a_sentence_may_end_in_a_quotation_mark_or_without_a_space():
    assert texts('"ab." "cd" ef', limit=9) == ['"ab."', '"cd"ef']
    assert texts("你好。再见吗？好", limit=6) == ["你好。", "再见吗？好"]


def test_a_sentence_without_spaces_is_split_after_its_clauses():
    assert texts("你好吗，我很好，他也好。再见", limit=9) == ["你好吗，我很好，", "他也好。再见"]
    assert texts("你好吗、我很好：他", limit=8) == ["你好吗、", "我很好：他"]


def test_sentences_end_at_the_stops_of_their_script():
    for stop in "。｡؟۔।॥།။។։።":
        assert cut(["a", f"b{stop}", "c", "d"], [1] * 4, room=3) == [2, 4], stop


def test_a_word_that_is_too_long_is_split_anywhere():
    assert texts("a bcdefgh i", limit=4) == ["a", "bcd", "efg", "h", "i"]


def test_a_line_that_fits_is_left_alone_and_a_blank_one_has_no_part():
    lines = ["abc. def", "", " \t\u2028"]
    assert encode_parts(lines, by_character, room=8) == [by_character(lines[:1]), [], []]


@given(st.text(alphabet="ab.,。 \n\u2028", max_size=80), st.integers(2, 20))
def test_no_character_is_lost_and_no_part_is_too_long(line, limit):
    parts = encode_parts([line], by_character, room=limit - 1)[0]
    assert all(0 < len(row) < limit for row in parts)
    assert [id_ for row in parts for id_ in row] == by_character([line])[0]
