"""Test sets disturbed as people disturb text, to see what a system makes of it.

A disturbed line depends on the clean line, the name of the perturbation and a seed: never on its number or neighbours.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from data.batch import Pair
from data.batching.augmentation import Languages, in_title_case, with_typos
from data.errors import InputError
from data.languages import language_of
from data.text.casing import upper

SPACES = ("  ", "\t", "\u00a0", "\u2009", "\u3000", " \u200b")
"""White space, and a space beside an invisible one, as documents and web pages have them."""

MARK = re.compile(r"(?<!\w)[^\w\s]|[^\w\s](?!\w)")
"""A punctuation mark that is not within a word or a number, as in "it's", "well-known" and "3.5"."""

ACCENTS = re.compile("[\u0300-\u036f]+")
COMPOSED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L"}
    | {"ı": "i", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"}
)
"""Latin letters that Unicode does not decompose into a plain letter and an accent."""

SHORT_I = re.compile("[Йй]")  # a letter of its own, which is never written without its accent


def in_capitals(line: str, language: str, random: Random) -> str:
    """All letters as capitals: "A dog." -> "A DOG."."""
    return upper(line, language)


def in_titles(line: str, language: str, random: Random) -> str:
    """A capital on every word: "A black dog." -> "A Black Dog."."""
    return in_title_case(Pair(line, ""), Languages(language, language), random).source


def with_errors(line: str, language: str, random: Random) -> str:
    """A typing error in every twentieth letter or so, and at least one: "A dgo runs."."""
    return with_typos(Pair(line, ""), Languages(language, language), random).source


def without_some_marks(line: str, language: str, random: Random) -> str:
    """Each punctuation mark left out, doubled or kept, one as likely as the other: "Well, a dog!!" -> "Well a dog!!".

    Marks within words and numbers are kept.
    """
    return MARK.sub(lambda mark: mark[0] * random.randrange(3), line).strip()


def with_odd_spaces(line: str, language: str, random: Random) -> str:
    """Tabs, double, no-break, thin and ideographic spaces in place of spaces, and before and after the line."""
    return f"{random.choice(SPACES)}{re.sub(' ', lambda _: random.choice(SPACES), line)}{random.choice(SPACES)}"


def without_diacritics(line: str, language: str, random: Random) -> str:
    """Letters without accents: "Über Łódź, größer" -> "Uber Lodz, grosser". Vowel signs, as of Hindi, are kept."""
    parts = re.split(f"({SHORT_I.pattern})", unicodedata.normalize("NFC", line))
    plain = (
        part if SHORT_I.fullmatch(part) else ACCENTS.sub("", unicodedata.normalize("NFD", part.translate(COMPOSED)))
        for part in parts
    )
    return unicodedata.normalize("NFC", "".join(plain))


class Perturbation(NamedTuple):
    """A way to disturb a line of a language, given as a two-letter code. What it does is in the help of --perturb."""

    change: Callable[[str, str, Random], str]
    about: str
    ignores_case: bool = False  # in scoring, because the case of a correct translation is a matter of taste


PERTURBATIONS = {
    "upper": Perturbation(in_capitals, "in capitals", ignores_case=True),
    "title": Perturbation(in_titles, "a capital on every word", ignores_case=True),
    "typos": Perturbation(with_errors, "a typing error in every twentieth letter or so, and at least one a line"),
    "punctuation": Perturbation(without_some_marks, "punctuation marks left out or doubled"),
    "spaces": Perturbation(with_odd_spaces, "tabs, double and other odd spaces"),
    "no-diacritics": Perturbation(without_diacritics, "letters without accents"),
}
"""Ways to disturb a test set, by their names in `--perturb`."""


def perturb(lines: Sequence[str], name: str, language: str, *, seed: int = 1) -> list[str]:
    """The lines, disturbed. `language` is the code of their language. InputError for an unknown perturbation.

    Equal lines are disturbed equally, and a line on its own as it is among others.
    """
    if name not in PERTURBATIONS:
        raise InputError(f"--perturb: unknown perturbation {name!r}; known are {', '.join(PERTURBATIONS)}")
    code, change = language_of(language).primary, PERTURBATIONS[name].change
    return [change(line, code, Random(f"{seed} {name} {line}")) for line in lines]
