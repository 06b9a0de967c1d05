"""What a language code says about the text: its script, and whether spaces separate its words.

`data.text.scripts` looks at the text itself.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import langcodes
from langcodes.data_dicts import LIKELY_SUBTAGS

from data.config import DataConfig
from data.errors import InputError
from data.text.joining import join_parts

UNSPACED_SCRIPTS = frozenset(
    (
        *("Hani", "Hans", "Hant", "Bopo", "Jpan", "Hira", "Kana", "Hrkt"),
        *("Thai", "Laoo", "Mymr", "Khmr", "Tibt", "Lana", "Talu", "Java", "Bali"),
    )
)
"""Scripts (ISO 15924) that put no space between words."""

NAMES = {
    **{"arabic": "ar", "bengali": "bn", "bulgarian": "bg", "burmese": "my", "cantonese": "yue", "catalan": "ca"},
    **{"chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en"},
    **{"estonian": "et", "finnish": "fi", "french": "fr", "german": "de", "greek": "el", "hebrew": "he"},
    **{"hindi": "hi", "hungarian": "hu", "icelandic": "is", "indonesian": "id", "irish": "ga", "italian": "it"},
    **{"japanese": "ja", "khmer": "km", "korean": "ko", "lao": "lo", "latin": "la", "latvian": "lv"},
    **{"lithuanian": "lt", "malay": "ms", "mandarin": "zh", "norwegian": "no", "persian": "fa", "polish": "pl"},
    **{"portuguese": "pt", "romanian": "ro", "russian": "ru", "serbian": "sr", "slovak": "sk", "slovenian": "sl"},
    **{"spanish": "es", "swahili": "sw", "swedish": "sv", "tamil": "ta", "thai": "th", "turkish": "tr"},
    **{"ukrainian": "uk", "urdu": "ur", "vietnamese": "vi", "deutsch": "de", "francais": "fr", "espanol": "es"},
}
"""The codes of languages that people are likely to name in full."""


class Language(NamedTuple):
    """What is known about a language from its code."""

    code: str  # in the form of BCP 47, such as zh-Hans for zho_Hans; an unknown code is unchanged
    script: str  # the one that the code names, else the most likely one; "" if the language is unknown
    is_known: bool

    @property
    def primary(self) -> str:
        """The code of the language alone, without script and region: "zh" for zh-Hans-CN."""
        return self.code.partition("-")[0]

    @property
    def has_spaces(self) -> bool:
        """Whether spaces separate the words. True for an unknown language."""
        return self.script not in UNSPACED_SCRIPTS


@functools.cache
def language_of(code: str) -> Language:
    """The language of a code in any form that corpora use: zh, zh-CN, zh_Hans, zho_Hans, jpn_Jpan, ko-KR.

    A code of the right form that names no language, or a name such as "german", is unknown. Private codes (qaa to qtz,
    x-anything) are known, and their script is not.
    """
    try:
        tag = langcodes.Language.get(code)
    except langcodes.LanguageTagError:
        return Language(code, "", is_known=False)
    if not tag.is_valid():
        return Language(code, "", is_known=False)
    primary = tag.language or ""
    is_private = primary == "und" or primary.startswith("x-") or "qaa" <= primary <= "qtz"
    has_likely_script = any(broader in LIKELY_SUBTAGS for broader in tag.broader_tags() if broader != "und")
    script = tag.maximize().script if has_likely_script and not is_private else tag.script
    return Language(tag.to_tag(), script or "", is_known=True)


def check_codes(config: DataConfig) -> None:
    """`check_code` for both sides of a recipe. A toy corpus may call its languages anything."""
    if config.corpus != "toy":
        advice = "; data.train, data.validation and data.test may name files with any ending"
        check_code(config.source_language, what="data.source_language", advice=advice)
        check_code(config.target_language, what="data.target_language", advice=advice)


def check_code(code: str, *, what: str, advice: str = "") -> None:
    """InputError for a code that names no language, suggesting one that does.

    `what` names the knob or the option in the message, and `advice` ends it.
    """
    if language_of(code).is_known:
        return
    meant = nearest_code(code)
    hint = f" (did you mean {meant}?)" if meant else ""
    ending = re.search("[a-z0-9]{1,8}", code.lower())
    raise InputError(
        f"{what} is {code!r}, not a language code{hint}: expected one like de, pt-BR or zho_Hans, or a private one "
        f"like x-{ending[0] if ending else 'mine'}{advice}"
    )


def nearest_code(code: str) -> str:
    """The code that was probably meant: "german" -> de, "jp" -> ja, "en.tok" -> en; "" if there is no likely one."""
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", code) if part]
    for part in (code, *parts):
        if part.lower() in NAMES:
            return NAMES[part.lower()]
        if part != code and len(part) < 4 and language_of(part).is_known:
            return language_of(part).code
        country = f"und-{part.upper()}"
        if re.fullmatch("[A-Za-z]{2}", part) and country in LIKELY_SUBTAGS:
            return langcodes.Language.get(country).maximize().language or ""
    return ""


def are_same(one: str, other: str) -> bool:
    """Whether two codes are of one language in one script, so that a copy can be a translation: de and de-AT."""
    first, second = language_of(one), language_of(other)
    is_named = first.is_known and second.is_known and first.primary not in ("x", "und")
    return one == other or (is_named and (first.primary, first.script) == (second.primary, second.script))


def join_texts(texts: Sequence[str], code: str) -> str:
    """The parts of a text on one line, as their language joins them: see data/text/joining.py."""
    return join_parts(texts, has_spaces=language_of(code).has_spaces)
