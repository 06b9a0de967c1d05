"""Lines in capitals and in Title Case, and their usual form, in which a model knows their words.

The usual form of a word is the one that the training text has most often within its sentences (Lita et al. 2003,
"tRuEcasIng"). A word that the training text does not have is written in lower case, in German with a capital.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Shape = Literal["capitals", "title", "usual"]

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
FEWEST_WORDS = 2  # in capitals: one word may be an acronym
FEWEST_CAPITALS = 4  # letters: "I, A." is left alone
SHARE_OF_CAPITALS = 0.85  # of all letters: "EINE STRAßE", "100 km NACH BERLIN" have others
FEWEST_TITLED = 4  # words of a line in Title Case: fewer may be a name
SHARE_OF_COMMON = 0.5  # of the known words of a line in Title Case: others are names

# Words that headlines in English leave in lower case. Other languages have no such headlines.
UNTITLED = "a an and as at but by for from if in into nor of off on onto or out over per so than the to up via with yet"
CAPITALISES_NOUNS = frozenset(("de", "lb"))
DOTTED_I = frozenset(("tr", "az", "crh", "tt", "gag"))  # languages with the pairs İ i and I ı
GEORGIAN = re.compile("[\u10d0-\u10ff]+")  # hardly any text uses its capitals, and few fonts have them
ENGLISH_I = re.compile(r"\bi(?=\b|['’](?:m|ll|ve|d)\b)")


def shape_of(text: str, language: str = "") -> Shape:
    """Whether a text is in capitals, in Title Case, or neither. Names and acronyms within a text change nothing.

    "A MAN RUNS"                     capitals    "NATO and the EU met in Rome"      usual
    "A Man Runs After The Bus"       title       "Angela Merkel met Olaf Scholz"    usual
    """
    return "usual" if text[1:].islower() else shape_by_words(text, language)  # most text has no capital but its first


def shape_by_words(text: str, language: str = "") -> Shape:
    """As `shape_of`, which need not look at every word of most texts."""
    if sum(not word.islower() for word in text.split()) < FEWEST_WORDS:
        return "usual"
    capitals = sum(map(str.isupper, text))
    if capitals >= FEWEST_CAPITALS and capitals >= SHARE_OF_CAPITALS * sum(map(str.isalpha, text)):
        return "capitals" if len(WORD.findall(text)) >= FEWEST_WORDS else "usual"
    untitled = UNTITLED.split() if language == "en" else []
    if capitals < FEWEST_TITLED or any(word.islower() and word not in untitled for word in text.split()):
        return "usual"
    words = [word for word in WORD.findall(text) if word[0].isupper() or word not in untitled]
    return "title" if len(words) >= FEWEST_TITLED and all(word[0].isupper() for word in words) else "usual"


def usual_form(text: str, shape: Shape, usual: Mapping[str, str], language: str = "") -> str:
    """A text in capitals or Title Case, such as one sentence, in its usual form.

    `usual` has the usual form of each known word by its lower case. A text in Title Case that consists of names is left
    unchanged, and so are its unknown words, unless nothing is known at all.

        "A MAN IN NEW YORK", knowing York      ->  "A man in new York"
    """
    words = [match[0] for match in WORD.finditer(text)]
    known = [lower(word, language) for word in words if lower(word, language) in usual]
    if shape == "title" and usual and sum(usual[word] == word for word in known) < SHARE_OF_COMMON * len(words):
        return text

    def restore(match: re.Match[str]) -> str:
        word = lower(match[0], language)
        if word in usual:
            return usual[word]
        if shape == "title" and usual:
            return match[0]
        return capitalise(word, language) if usual and language in CAPITALISES_NOUNS else word

    restored = WORD.sub(restore, text)
    if language == "en":
        restored = ENGLISH_I.sub("I", restored)
    first = WORD.search(restored)
    if first is None or any(map(str.isupper, first[0])) or any(map(str.isdigit, restored[: first.start()])):
        return restored
    return restored[: first.start()] + capitalise(restored[first.start() :], language)


def lower(text: str, language: str = "") -> str:
    """The text in lower case by the rules of its language: Turkish "ISI" -> "ısı"."""
    if language in DOTTED_I:
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower()


def upper(text: str, language: str = "") -> str:
    """The text in capitals by the rules of its language: Turkish "iki" -> "İKİ". Georgian stays as it is."""
    if language in DOTTED_I:
        text = text.replace("i", "İ")
    if GEORGIAN.search(text):
        return "".join(
            part if GEORGIAN.match(part) else part.upper() for part in re.split(f"({GEORGIAN.pattern})", text)
        )
    return text.upper()


def capitalise(text: str, language: str = "") -> str:
    """The text with its first letter as a capital."""
    return upper(text[:1], language) + text[1:]


def count_forms(sentences: Sequence[str], counts: dict[str, dict[str, int]], language: str = "") -> None:
    """Adds the forms of the words of sentences to `counts`: how often each occurs, by the word in lower case.

    The first word of a sentence says nothing, and neither does a sentence in capitals or Title Case.
    """
    for sentence in sentences:
        if shape_of(sentence, language) == "usual":
            for word in WORD.findall(sentence)[1:]:
                forms = counts.setdefault(lower(word, language), {})
                forms[word] = forms.get(word, 0) + 1
