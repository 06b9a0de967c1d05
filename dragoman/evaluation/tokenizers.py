"""How metrics find the words of a reference: by its language, or else by its script."""

from collections.abc import Sequence

from data.languages import language_of
from data.text.scripts import count_words
from dragoman.messages import warn_once

CHINESE = frozenset({"Hani", "Hans", "Hant", "Bopo"})  # scripts
UNKNOWN = ("", "und")  # codes of an unknown language
FEW = 0.05  # with a smaller share of words in scripts without spaces, a text is in no language without spaces


def bleu_tokenizer(code: str, references: Sequence[str]) -> str:
    """The name of sacreBLEU's tokenizer for a language: "zh", "char" or "13a".

    zh counts Chinese characters and other words. char counts characters, in Japanese, Thai, Lao, Burmese, Khmer and
    other languages without spaces, and in Korean, whose words carry many endings. 13a counts words and punctuation. The
    choice does not depend on what is installed (as MeCab would be), so that a run scores the same everywhere.
    """
    language = language_of(code)
    is_korean = language.primary == "ko" and language.script != "Latn"
    return unspaced_tokenizer(code, references) or ("char" if is_korean else "13a")


def unspaced_tokenizer(code: str, references: Sequence[str]) -> str:
    """The name of sacreBLEU's tokenizer where no spaces separate words, "zh" or "char", or "" where they do.

    A language without spaces decides, whatever the references are. For another language, and for an unknown code, the
    references decide. A contradiction between the two causes a warning.
    """
    language, words = language_of(code), count_words(references)
    if not language.has_spaces:
        if words.unspaced < FEW * words.all:
            warn_once(
                f"the target language is {code}, which puts no spaces between words, but the references have them: "
                "BLEU and TER may count characters; see data.target_language"
            )
        return "zh" if language.script in CHINESE else "char"
    if not words.are_unspaced:
        return ""
    tokenizer = "zh" if 2 * words.ideographs > words.unspaced and words.kana < FEW * words.unspaced else "char"
    known = f"the target language is {code}, but" if code not in UNKNOWN else "the target language is not known, and"
    warn_once(
        f"{known} the references are in a script without spaces: BLEU uses the "
        f'tokenizer "{tokenizer}", and TER counts characters; see data.target_language, or --language for files'
    )
    return tokenizer


def moses_language(code: str) -> tuple[str, str]:
    """The language that sacremoses gets, and what a signature says about the rules that it has for it.

    "de-AT" -> "de", "moses-de"        "german", which is no code -> "en", "moses-en"
    "tr" -> "tr", "moses-tr,abbreviations-en": it has no list of Turkish abbreviations, and uses the English one
    """
    from sacremoses.corpus import NonbreakingPrefixes  # slow to import, and used only here

    language = language_of(code)
    if not language.is_known:
        return "en", "moses-en"
    is_listed = language.primary in NonbreakingPrefixes().available_langs
    return language.primary, f"moses-{language.primary}" + ("" if is_listed else ",abbreviations-en")
