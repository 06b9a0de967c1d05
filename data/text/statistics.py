"""What a run remembers of its source text: the usual form of words, and how many lines hold several sentences."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from data.text.casing import count_forms
from data.text.cleaning import clean
from data.text.sentences import split_sentences

SOURCE_TEXT = "source_text.json"
MOST_WORDS = 50_000  # the most frequent ones are kept


class SourceStatistics(NamedTuple):
    """Statistics of the source side of a training text."""

    several_sentences: float | None = None  # the fraction of lines with more than one sentence; None: not known
    usual: Mapping[str, str] = MappingProxyType({})  # the most frequent form of each word, by its lower case

    def as_json(self) -> str:
        """The content of the file."""
        return json.dumps({**self._asdict(), "usual": dict(self.usual)}, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> "SourceStatistics":
        """The statistics in a file; nothing is known if there is none. ValueError if it is damaged."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(found["several_sentences"], dict(found["usual"]))
        except FileNotFoundError:
            return cls()
        except (KeyError, TypeError) as error:
            raise ValueError(f"no {error}") from None


def measure(lines: Iterable[str], language: str = "") -> SourceStatistics:
    """The statistics of lines, cleaned. `language` is a two-letter code.

    "A dog.", "He sees a Dog. The dog runs."  ->  0.5 of the lines, and "dog" twice against "Dog" once, ...
    """
    counts: dict[str, dict[str, int]] = {}
    total = several = 0
    for line in lines:
        sentences = split_sentences(clean(line), language)
        total += 1
        several += len(sentences) > 1
        count_forms(sentences, counts, language)
    frequent = sorted(counts, key=lambda word: (-sum(counts[word].values()), word))[:MOST_WORDS]
    usual = {word: min(counts[word], key=lambda form: (-counts[word][form], form)) for word in frequent}
    return SourceStatistics(several / total if total else None, usual)
