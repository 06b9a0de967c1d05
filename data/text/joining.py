"""Joins translated sentences and parts of sentences into one line."""

import re
from collections.abc import Iterable

from data.text.scripts import FULL_WIDTH, UNSPACED

NO_SPACE = re.compile(f"[{UNSPACED}{FULL_WIDTH}]")


def join_parts(texts: Iterable[str], *, has_spaces: bool) -> str:
    """The parts of a text on one line: with a space between them, or none if spaces do not separate words.

    In languages with spaces too there is none between two characters of scripts without spaces: the language may be
    given wrongly.

        ["So it is.", "Yes."], True  ->  "So it is. Yes."            ["你好。", "再见。"], False  ->  "你好。再见。"
    """
    if not has_spaces:
        return "".join(texts)
    joined = ""
    for text in filter(None, texts):
        is_unspaced = NO_SPACE.match(joined[-1:]) and NO_SPACE.match(text)
        joined += text if is_unspaced or not joined else f" {text}"
    return joined
