"""The words of texts in several scripts."""

from dragoman.translation.words import visible, words_in


def test_words_have_places_and_punctuation_is_apart():
    """The example of the docstring."""
    words = words_in("Ein Hund, 2 狗.")
    assert [word.text for word in words] == ["Ein", "Hund", ",", "2", "狗", "."]
    assert [(word.start, word.end) for word in words][1:3] == [(4, 8), (8, 9)]


def test_a_letter_and_its_marks_are_one_word_in_every_script():
    assert [word.text for word in words_in("हिन्दी कुत्ता")] == ["हिन्दी", "कुत्ता"]
    assert [word.text for word in words_in("ดีมาก")] == ["ดี", "ม", "า", "ก"]


def test_words_are_compared_without_case_form_and_invisible_characters():
    keys = [word.key for word in words_in("STRASSE straße ﬁx fi\u00adx e\u0301 é \u200b ＡＢ")]
    assert keys == ["strasse", "strasse", "fix", "fix", "é", "é", "ab"]
    assert visible("\ufeffＨu\u00adnd") == "Hund"
