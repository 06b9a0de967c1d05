"""The translations of a line, how the parts of a long line are joined, and how results are written."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from data.languages import join_texts
from dragoman.translation.alignment import format_pharaoh
from dragoman.translation.record import Details, translation_record
from dragoman.translation.requirements import TermResult


class PartIds(NamedTuple):
    """The source and the output of one search, as ids. The source ends with EOS; the target has no EOS."""

    source: Sequence[int]
    target: Sequence[int]
    is_finished: bool


class Translation(NamedTuple):
    """One translation of a line. If the line was translated in parts, numbers are sums over the parts."""

    text: str
    log_probability: float
    score: float  # log-probability divided by the length penalty; larger is better
    tokens: int  # without EOS
    is_finished: bool  # False: the length limit came before the end of the sentence
    parts: int  # 1 for most lines, 0 for a blank one
    ids: tuple[PartIds, ...] = ()
    sentences: int = 1  # of the line; more parts than sentences: one was too long for one search
    terms: tuple[TermResult, ...] = ()  # the required terms of the line, by part
    problem: str = ""  # why there is no translation; the text is empty then

    @property
    def terms_met(self) -> int:
        """How many of the required terms it contains."""
        return sum(term.is_met for term in self.terms)


BLANK = Translation("", 0.0, 0.0, tokens=0, is_finished=True, parts=0)


def join(parts: Sequence[Sequence[Translation]], language: str) -> list[Translation]:
    """The translations of a line from those of its parts: the best of all parts, then the second best, and so on.

    `language` is the code of the target language: Chinese, Japanese or Thai parts have no space between them.
    """
    if not parts:
        return [BLANK]
    return [
        Translation(
            text=join_texts([part.text for part in rank], language),
            log_probability=sum(part.log_probability for part in rank),
            score=sum(part.score for part in rank),
            tokens=sum(part.tokens for part in rank),
            is_finished=all(part.is_finished for part in rank),
            parts=len(parts),
            ids=tuple(ids for part in rank for ids in part.ids),
            terms=tuple(term for part in rank for term in part.terms),
        )
        for rank in zip(*parts, strict=False)
    ]


def without_translation(problem: str) -> list[Translation]:
    """What takes the place of the translations of a line that cannot be translated."""
    return [BLANK._replace(is_finished=False, problem=problem)]


def show_json(
    number: int,
    found: Sequence[Translation],
    details: Sequence[Details],
    flags: Sequence[str],
    mark: Callable[[Translation, Sequence[str]], str] | None = None,
) -> str:
    """The JSON for a line: its number, counted from 1, and its translations, best first. Flags belong to the best.

    In addition to the keys of `translation_record`: tokens, the number of pieces without </s>; is_finished, false if
    the length limit came before the end; parts, above 1 if the line has several sentences or was too long for one
    search; terms, for a line with required terms: see `TermResult.record`; and what `mark` says of the translation and
    its flags. A line that cannot be translated has no translations, and its `problem` says why.
    """
    if found[0].problem:
        return json.dumps({"line": number, "translations": [], "problem": found[0].problem}, ensure_ascii=False)
    translations = []
    for rank, (one, detail) in enumerate(zip(found, details, strict=True)):
        about: dict[str, Any] = {"tokens": one.tokens, "is_finished": one.is_finished, "parts": one.parts}
        if one.terms:
            about["terms"] = [term.record() for term in one.terms]
        if mark:
            about["mark"] = mark(one, () if rank else flags)
        known = translation_record(
            one.text, detail, log_probability=one.log_probability, score=one.score, flags=() if rank else flags
        )
        translations.append(known | about)
    return json.dumps({"line": number, "translations": translations}, ensure_ascii=False)


def show_aligned(found: Sequence[Translation], details: Sequence[Details]) -> str:
    """The best text and the alignment of its words in Pharaoh format: `Ein Hund ||| 0-0 1-1`."""
    return f"{found[0].text} ||| {format_pharaoh(details[0].alignment)}".rstrip()
