"""What a language code says about the text: its script, and whether spaces separate its words."""

import functools
from typing import NamedTuple

import langcodes

UNSPACED_SCRIPTS = frozenset(
    (
        *("Hani", "Hans", "Hant", "Bopo", "Jpan", "Hira", "Kana", "Hrkt"),
        *("Thai", "Laoo", "Mymr", "Khmr", "Tibt", "Lana", "Talu", "Java", "Bali"),
    )
)
"""Scripts (ISO 15924) that put no space between words."""


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
    script = tag.script if is_private else tag.maximize().script
    return Language(tag.to_tag(), script or "", is_known=True)
