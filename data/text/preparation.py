"""What becomes of a line before it is translated: cleaned, split into sentences, each in its usual form."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from data.text.casing import shape_of, upper, usual_form
from data.text.cleaning import clean
from data.text.sentences import split_sentences

Capitals = Literal["upper", "usual", "keep"]


class SourceRules(NamedTuple):
    """How the lines of a source language are prepared. Languages are two-letter codes."""

    cleans: bool = True
    splits: bool = True  # into sentences
    capitals: Capitals = "upper"  # of translations of lines in capitals; keep: such lines are translated as they are
    language: str = ""
    target_language: str = ""
    usual: Mapping[str, str] = MappingProxyType({})  # the usual form of words, by their lower case


class SourceLine(NamedTuple):
    """A prepared line. Its sentences are translated one by one."""

    text: str  # all of it, as it is translated
    sentences: tuple[str, ...]  # without the spaces between them; none for a blank line
    in_capitals: bool  # so should its translation be


def prepare(line: str, rules: SourceRules) -> SourceLine:
    """The line as it is translated.

    " A MAN\\tRUNS. HE IS LATE."  ->  "A man runs. He is late.", sentences "A man runs." and "He is late.", in capitals
    """
    text = clean(line) if rules.cleans else line
    sentences = split_sentences(text, rules.language)
    in_capitals = False
    if rules.capitals != "keep":
        whole = shape_of(text, rules.language)
        is_known = whole != "usual" or len(sentences) == 1
        shapes = [whole if is_known else shape_of(one, rules.language) for one in sentences]
        in_capitals = rules.capitals == "upper" and whole == "capitals"
        sentences = [
            one if shape == "usual" else usual_form(one, shape, rules.usual, rules.language)
            for one, shape in zip(sentences, shapes, strict=True)
        ]
    if not rules.splits:
        sentences = ["".join(sentences)]
    parts = sentences if len(sentences) == 1 else [one.strip() for one in sentences]
    return SourceLine("".join(sentences), tuple(part for part in parts if part.strip()), in_capitals)


def with_prefix(line: SourceLine, prefix: str, rules: SourceRules) -> tuple[SourceLine, str]:
    """The line and the beginning of its translation, as the model continues it.

    A beginning in capitals is brought into its usual form if the translation will be put in capitals. Another beginning
    shows how the translation is wanted: it is not put in capitals. If it has several sentences, the line is translated
    as a whole, because it begins the translations of several.
    """
    if len(split_sentences(prefix, rules.target_language)) > 1 and line.sentences:
        line = line._replace(sentences=(line.text,))
    if not line.in_capitals or not prefix.strip():
        return line, prefix
    if upper(prefix, rules.target_language) == prefix:
        return line, usual_form(prefix, "capitals", {}, rules.target_language)
    return line._replace(in_capitals=False), prefix


def sentence_pairs(line: SourceLine, translation: str, rules: SourceRules) -> list[tuple[str, str]]:
    """The sentences of a line, each with that of a given translation, if both have as many; else the whole of both.

    "A man. A dog.", "Ein Mann. Ein Hund."  ->  ("A man.", "Ein Mann."), ("A dog.", "Ein Hund.")
    """
    translations = [one.strip() for one in split_sentences(translation, rules.target_language)]
    if 1 < len(line.sentences) == len(translations):
        return list(zip(line.sentences, translations, strict=True))
    return [(line.text, translation)]


def as_source(translation: str, line: SourceLine, rules: SourceRules) -> str:
    """The translation of a line, in capitals if the line was."""
    return upper(translation, rules.target_language) if line.in_capitals else translation
