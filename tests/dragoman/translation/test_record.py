"""The record of a translation: parts are joined, its numbers agree with each other, and JSON preserves them."""

import json

import numpy as np
import pytest

from data.languages import join_texts
from data.text.scripts import split_words
from dragoman.translation.record import Details, Part, details_of, translation_record

SOURCE = ["▁the", "▁d", "og", "</s>"], ["▁sleeps", "</s>"]
OUTPUT = ["▁der", "▁H", "und", "</s>"], ["▁schläft"]  # the second was cut by the length limit
SOURCE_WORDS, TARGET_WORDS = ["the", "dog", "sleeps"], ["der", "Hund", "schläft"]
PROBABILITIES = [0.5, 0.8, 0.5, 0.9], [0.25]
ATTENTION = (
    np.array([[0.9, 0.0, 0.0, 0.1], [0.4, 0.3, 0.3, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]], np.float32),
    np.array([[0.1, 0.9]], np.float32),
)
PARTS = [
    Part(source, output, np.log(probabilities), attention)
    for source, output, probabilities, attention in zip(SOURCE, OUTPUT, PROBABILITIES, ATTENTION, strict=True)
]


def test_parts_are_joined_with_words_counted_over_the_line():
    details = details_of(SOURCE_WORDS, TARGET_WORDS, PARTS)
    assert details.pieces == ["▁der", "▁H", "und", "</s>", "▁schläft"]
    assert details.words == ["der", "Hund", "schläft"]
    assert details.confidences == pytest.approx([0.5, 0.4, 0.25])
    assert details.alignment == [(0, 0), (1, 1), (2, 2)]


def test_confidences_and_ends_multiply_to_the_probability_of_the_translation():
    details = details_of(SOURCE_WORDS, TARGET_WORDS, PARTS)
    assert np.prod(details.confidences) * 0.9 == pytest.approx(np.exp(sum(details.piece_log_probabilities)))


def test_a_blank_line_has_empty_details():
    assert details_of([], [], []) == Details([], [], [], [], [])


def test_a_record_is_json_that_comes_back_the_same():
    details = details_of(SOURCE_WORDS, TARGET_WORDS, PARTS)
    record = translation_record("der Hund schläft", details, log_probability=-3.1, score=-1.9, flags=("loop",))
    assert json.loads(json.dumps(record)) == record
    assert record["words"][1] == {"word": "Hund", "confidence": pytest.approx(0.4)}
    assert record["alignment"] == [[0, 0], [1, 1], [2, 2]]
    assert record["flags"] == ["loop"]
    assert all(f"{key}  " in translation_record.__doc__ for key in record)


def test_a_text_whose_words_differ_from_its_pieces_is_rejected():
    with pytest.raises(ValueError, match="zip"):
        translation_record("der", details_of(["the"], TARGET_WORDS, PARTS), log_probability=0.0, score=0.0, flags=())


def test_a_word_may_begin_in_one_part_and_end_in_the_next():
    details = details_of(SOURCE_WORDS, ["der", "Hundschläft"], PARTS)
    assert details.confidences == pytest.approx([0.5, 0.4 * 0.25])
    assert details.alignment == [(0, 0), (1, 1)]
    record = translation_record("der Hundschläft", details, log_probability=0.0, score=0.0, flags=())
    assert [word["word"] for word in record["words"]] == ["der", "Hundschläft"]


def test_the_characters_of_a_script_without_spaces_are_words_with_confidences_of_their_own():
    source, output = (["▁ein", "▁Hund", "</s>"], ["▁ja", "</s>"]), (["▁一只", "狗", "。", "</s>"], ["▁好", "</s>"])
    parts = [
        Part(source[0], output[0], np.log([0.5, 0.5, 0.25, 0.9]), np.eye(4)[:, [0, 1, 3]]),
        Part(source[1], output[1], np.log([0.75, 0.5]), np.eye(2)),
    ]
    text = join_texts(["一只狗。", "好"], "zh")
    details = details_of(["ein", "Hund", "ja"], split_words(text), parts)
    record = translation_record(text, details, log_probability=0.0, score=0.0, flags=())
    assert [word["word"] for word in record["words"]] == ["一", "只", "狗", "。", "好"]
    assert [word["confidence"] for word in record["words"]] == pytest.approx([0.5, 1.0, 0.5, 0.25, 0.75])
    assert record["alignment"] == [[0, 0], [1, 2], [0, 3], [2, 4]]
