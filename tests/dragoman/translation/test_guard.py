"""The guard flags bad translations and leaves sound ones alone."""

from random import Random

import pytest

from dragoman.translation.guard import (
    CHECKS,
    LONGEST_UNIT,
    copied_words,
    count_flags,
    flags,
    is_copy,
    is_long,
    is_loop,
    is_short,
    letters_in_loops,
    most_common_ngram,
    most_repeats,
    width,
    words_of,
)

SENTENCES = [
    ("A man in a blue shirt is standing on a ladder.", "Ein Mann in einem blauen Hemd steht auf einer Leiter."),
    ("Yes.", "Jawohl, so ist es."),
    ("The quick brown fox jumps over the lazy dog.", "敏捷的棕色狐狸跳过了懒狗。"),
    ("敏捷的棕色狐狸跳过了懒狗。", "The quick brown fox jumps over the lazy dog."),
    ("The quick brown fox jumps over the lazy dog.", "날쌘 갈색 여우가 게으른 개를 뛰어넘는다."),
    ("The quick brown fox jumps over the lazy dog.", "素早い茶色のキツネが怠け者の犬を飛び越えます。"),
    ("Barack Obama, Angela Merkel, Emmanuel Macron", "Barack Obama, Angela Merkel, Emmanuel Macron"),
    ("Row, row, row your boat", "Rudert, rudert, rudert euer Boot"),
    ("", ""),
    ("http://example.org/a", "http://example.org/a"),
    ("1,000,000,000", "1.000.000.000"),
    ("Chapter 1 ............ 5", "Kapitel 1 ............ 5"),
]


@pytest.mark.parametrize(("source", "output"), SENTENCES)
def test_sound_translations_are_not_flagged(source, output):
    assert flags(source, output) == ()


def test_loops_and_copies_are_flagged():
    assert flags("A dog runs.", "Ein Hund, ein Hund, ein Hund läuft.") == ("loop",)
    assert flags("a dog runs on the grass", "a dog runs on the grass") == ("copy",)
    assert flags("a dog runs on the grass", "a dog runs on the grass", skip={"copy"}) == ()


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("Ein Hund", "a dog dog dog dog", True),
        ("nein, nein, nein, nein", "no, no, no, no!", False),
        ("Ein Hund", "a dog and a dog and a dog and a cat", True),
        ("very, very good", "sehr, sehr, sehr gut", False),
        ("wow", "wooooooooooooow", True),
        ("hahahaha", "hahaha", False),
        ("A dog", "狗的狗的狗的", True),
        ("so he did", "x a b c d y a b c d z a b c d w a b c d", True),  # not consecutive
    ],
)
def test_loops_are_what_repeats_more_than_the_source(source, output, expected):
    assert is_loop(source, output) is expected


def test_loops_are_found_as_the_definition_says_in_random_lines():
    def defined(source, output):
        given, written = words_of(source), words_of(output)
        most = max(most_repeats(given, 1, LONGEST_UNIT), 1)
        return (
            most_repeats(written, 1, 1) >= max(4, most + 2)
            or most_repeats(written, 2, LONGEST_UNIT) >= max(3, most + 2)
            or most_common_ngram(written) >= max(most_common_ngram(given), 1) + 3
            or letters_in_loops(output) > 2 * letters_in_loops(source)
        )

    random, found = Random(1), []
    for _ in range(1000):
        source, output = (
            " ".join(random.choices(["a", "b", "c", "oooooooooooooo"], [9, 9, 9, 1], k=random.randrange(22)))
            for _ in range(2)
        )
        assert is_loop(source, output) is defined(source, output)
        found.append(is_loop(source, output))
    assert 100 < sum(found) < 900


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("a dog runs on the grass", "a dog runs on the Gras", True),
        ("Angela Merkel met Emmanuel Macron", "Angela Merkel met Emmanuel Macron", False),
        ("a man in a hat", "ein Mann in einem Hut", False),
        ("敏捷的棕色狐狸", "敏捷的棕色狐狸", True),
    ],
)
def test_copies_are_words_of_the_source_other_than_names(source, output, expected):
    assert is_copy(source, output) is expected


def test_lengths_are_flagged_just_beyond_their_bounds():
    assert not is_long("A dog", "x" * 27)
    assert is_long("A dog", "x" * 28)
    assert not is_short("x" * 27, "A dog")
    assert is_short("x" * 28, "A dog")


def test_nothing_written_is_short_unless_there_was_nothing_to_translate():
    assert is_short("Yes", " ")
    assert not is_short("...", "")


def test_words_are_compared_in_lower_case_and_without_punctuation():
    assert words_of("Ja, 狗!") == ["ja", "狗"]
    assert copied_words("The dog sees a dog") == {"dog": 2, "sees": 1}


def test_repeated_words_n_grams_and_letters_are_counted():
    assert most_repeats(["a", "b", "a", "b", "a"], 2, 2) == 2
    assert most_repeats([], 1, 20) == 0
    assert most_common_ngram(["a", "b", "c", "d", "a", "b", "c", "d"]) == 2
    assert most_common_ngram(["a", "b", "c"]) == 0
    assert letters_in_loops("ja ooooooooooooo") == 13


def test_a_chinese_character_is_as_wide_as_three_letters():
    assert width("狗 dog") == 7


def test_lines_are_counted_by_flag_and_once_for_any():
    assert count_flags([("loop", "long"), (), ("long",)]) == {"loop": 1, "long": 2, "any": 2}


def test_a_very_long_line_is_checked_quickly():
    line = " ".join(f"word{n % 977}" for n in range(20_000))
    assert flags(line, line, skip={"copy"}) == ()
    assert set(flags("a", "ab" * 50_000)) == {"loop", "long"}
    assert list(CHECKS) == ["loop", "copy", "long", "short"]
