"""The statistics of the source side of a training text, measured once and kept in the cache of prepared text."""

from collections.abc import Sequence
from pathlib import Path

from data.config import DataConfig
from data.languages import language_of
from data.sources.corpus import Corpus, fetch
from data.sources.identity import text_key
from data.storage.cache import Cache
from data.text.statistics import SOURCE_TEXT, SourceStatistics, measure

VERSION = 2
LINES = 100_000  # about as many are read, which takes a few seconds


def source_statistics(config: DataConfig, corpora: Sequence[Corpus]) -> SourceStatistics:
    """What a run remembers of its source text, from lines spread evenly over the corpora."""
    count = sum(len(corpus.pairs) for corpus in corpora)
    step = max(1, count // LINES)
    language = language_of(config.source_language).primary

    def build(directory: Path) -> None:
        lines = (pair.source for corpus in corpora for pair in fetch(corpus.pairs, range(0, len(corpus.pairs), step)))
        (directory / SOURCE_TEXT).write_text(measure(lines, language).as_json(), encoding="utf-8")

    key = [VERSION, step, text_key(corpora, config)]
    about = f"word forms of {', '.join(corpus.name for corpus in corpora)}"
    return SourceStatistics.load(Cache(config.cache).entry("statistics", key, build, about=about) / SOURCE_TEXT)
