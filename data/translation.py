"""What is found for a line, how the parts of a long line become one again, and how it is written."""

import json
from collections.abc import Sequence
from typing import NamedTuple


class Translation(NamedTuple):
    """One translation of a line, with the sums of its parts where the line was too long for one search."""

    text: str
    log_probability: float
    score: float  # log-probability divided by the length penalty; larger is better
    tokens: int  # without EOS
    is_finished: bool  # False: the search met its length limit before the end of the sentence
    parts: int  # 1 for most lines, 0 for a blank one


BLANK = Translation("", 0.0, 0.0, tokens=0, is_finished=True, parts=0)


def join(parts: Sequence[Sequence[Translation]]) -> list[Translation]:
    """The translations of a line from those of its parts: the best of each, the second best of each, and so on."""
    if not parts:
        return [BLANK]
    return [
        Translation(
            text=" ".join(part.text for part in rank),
            log_probability=sum(part.log_probability for part in rank),
            score=sum(part.score for part in rank),
            tokens=sum(part.tokens for part in rank),
            is_finished=all(part.is_finished for part in rank),
            parts=len(parts),
        )
        for rank in zip(*parts, strict=False)
    ]


def show(number: int, found: Sequence[Translation], *, use_json: bool) -> str:
    """What is written for a line: the best text, or all translations as JSON, with its number from 1."""
    if not use_json:
        return found[0].text
    return json.dumps({"line": number, "translations": [one._asdict() for one in found]}, ensure_ascii=False)
