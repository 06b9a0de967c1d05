import pytest

from data.config import DataConfig
from data.errors import InputError
from data.languages import are_same, check_code, check_codes, language_of


@pytest.mark.parametrize(
    ("code", "standard", "script"),
    [
        ("de", "de", "Latn"),
        ("zh", "zh", "Hans"),
        ("zh_CN", "zh-CN", "Hans"),
        ("zh-TW", "zh-TW", "Hant"),
        ("zho_Hant", "zh-Hant", "Hant"),
        ("cmn", "cmn", "Hans"),
        ("yue", "yue", "Hant"),
        ("jpn_Jpan", "ja-Jpan", "Jpan"),
        ("ko-KR", "ko-KR", "Kore"),
        ("tha_Thai", "th-Thai", "Thai"),
        ("sr_Latn", "sr-Latn", "Latn"),
        ("my", "my", "Mymr"),
    ],
)
def test_codes_of_every_form_give_a_standard_code_and_a_script(code, standard, script):
    language = language_of(code)
    assert language == (standard, script, True)
    assert language.primary == standard.split("-")[0]


@pytest.mark.parametrize("code", ["zh-CN", "zho_Hans", "cmn", "yue", "wuu", "ja", "th", "lao_Laoo", "my", "km", "bo"])
def test_languages_whose_words_no_space_separates(code):
    assert not language_of(code).has_spaces


@pytest.mark.parametrize("code", ["en", "kor_Hang", "vi", "ru", "ar", "hi", "zh_Latn", "german", "x-letters", "und"])
def test_languages_whose_words_are_separated_by_spaces_and_those_nobody_knows(code):
    assert language_of(code).has_spaces


@pytest.mark.parametrize("code", ["german", "en.tok", "de2", "letters", "C", ""])
def test_a_name_or_a_file_ending_is_no_code(code):
    assert language_of(code) == (code, "", False)


@pytest.mark.parametrize("code", ["x-letters", "qaa"])
def test_private_codes_are_known_without_a_script(code):
    assert language_of(code) == (code, "", True)


@pytest.mark.parametrize("code", ["ksw", "quy", "und", "mul"])
def test_a_script_that_nobody_has_recorded_is_not_guessed(code):
    assert language_of(code) == (code, "", True)


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("german", "de"),
        ("Deutsch", "de"),
        ("jp", "ja"),
        ("cz", "cs"),
        ("en.tok", "en"),
        ("clean.de", "de"),
        ("sr@latin", "sr"),
    ],
)
def test_a_wrong_code_is_rejected_with_the_right_one(code, meant):
    with pytest.raises(
        InputError, match=rf"^data\.target_language is '{code}', not a language code \(did you mean {meant}\?\)"
    ):
        check_code(code, what="data.target_language")


def test_a_code_that_nobody_can_guess_is_rejected_with_examples_and_a_private_code_is_accepted():
    with pytest.raises(
        InputError, match=r"'simple', not a language code: expected one like de, .* private one like x-simple$"
    ):
        check_code("simple", what="--language")
    with pytest.raises(InputError, match=r"like x-simple; data\.train, .* may name files with any ending$"):
        check_codes(DataConfig(source_language="simple"))
    check_codes(DataConfig(source_language="simple", corpus="toy"))
    for code in ("x-simple", "qaa", "de", "pt_BR", "zho_Hans", "DE", "kmr_Latn"):
        check_code(code, what="data.source_language")


def test_a_copy_can_be_a_translation_within_one_language_and_script():
    assert are_same("de", "de")
    assert are_same("de", "de-AT")
    assert are_same("eng_Latn", "en")
    assert are_same("letters", "letters")
    assert not are_same("sr-Cyrl", "sr-Latn")
    assert not are_same("x-one", "x-other")
    assert not are_same("en", "de")
