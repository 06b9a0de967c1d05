"""Words and scripts are found in the text itself, whatever language it is said to be in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.languages import UNSPACED_SCRIPTS, join_texts
from data.text.scripts import UNSPACED, count_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ein Hund\u00a0läuft.", "Ein Hund läuft."),
        ("iPhone买了。", "iPhone 买 了 。"),
        ("がぎ日々", "が ぎ 日 々"),
        ("น้ำไทย", "น้ำ ไ ท ย"),
        ("ខ្មែរ", "ខ្មែ រ"),
        ("တက္ကသိုလ်", "တ က္က သို လ်"),
        ("བོད་སྐད", "བོ ད་ སྐ ད"),
        ("한국어 말", "한국어 말"),
    ],
)
def test_words_are_split_at_spaces_and_characters_without_spaces_with_their_marks(text, words):
    assert split_words(text) == words.split(" ")


@given(st.text(max_size=40) | st.text(alphabet="ab 狗猫がนไ้ំ្\u200b。\u3099", max_size=40))
def test_words_joined_are_the_text_without_white_space(text):
    words = split_words(text)
    assert "".join(words) == "".join(text.split())
    assert all(words)


@pytest.mark.parametrize(
    "text",
    [
        "你好",
        "安装 TensorFlow Serving 服务",
        "こんにちは",
        "ﾊﾛｰ",
        "สวัสดี",
        "ສະບາຍດີ",
        "မင်္ဂလာပါ",
        "សួស្តី",
        "བོད་ཡིག",
        "ᨣᩴᩤ",
        "ᦶᦣ",
        "ꦲꦏ꧀",
        "ᬩᬮᬶ",
        "ㄅㄆ",
    ],
)
def test_text_in_a_script_without_spaces_is_recognised(text):
    assert count_words([text, "1, 2, 3!"]).are_unspaced


@pytest.mark.parametrize("text", ["Hallo, ihr in 北京", "Привет", "नमस्ते", "안녕하세요", "مرحبا", "", "123。"])
def test_text_in_a_script_with_spaces_or_in_none_is_not(text):
    assert not count_words([text]).are_unspaced


def test_every_script_without_spaces_has_its_characters():
    samples = "漢ㄅあアไລကខབᨠᦀꦏᬓ"
    assert len(UNSPACED_SCRIPTS) >= len(samples)
    assert all(count_words([character]).unspaced for character in samples), UNSPACED


@pytest.mark.parametrize(
    ("parts", "code", "text"),
    [
        (["So it is.", "Yes."], "en", "So it is. Yes."),
        (["So it is.", "", "Yes."], "x-letters", "So it is. Yes."),
        (["你好。", "再见。"], "zho_Hans", "你好。再见。"),
        (["ไทย", "ไทย"], "th", "ไทยไทย"),
        (["Ein Hund.", "Ja."], "ja", "Ein Hund.Ja."),  # the code decides
        (["你好。", "再见。"], "de", "你好。再见。"),  # but a wrong code does not part characters
        (["sie sagte „Ja“", "„Nein“"], "de", "sie sagte „Ja“ „Nein“"),
        ([], "zh", ""),
    ],
)
def test_parts_are_joined_as_the_language_writes_them(parts, code, text):
    assert join_texts(parts, code) == text
