"""The vocabulary of a recipe: an existing one, or one that is learned once and then found in the cache."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from data.config import DataConfig
from data.reporting import Note, ignore
from data.sources.corpus import Corpus
from data.sources.identity import text_key
from data.storage.cache import Cache
from data.vocabulary.given import given_tokenizer
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer

INFLUENCE = (
    *("vocabulary", "vocabulary_size", "vocabulary_lines", "subword_model", "symbols"),
    *("character_coverage", "byte_fallback", "normalization"),
)
"""The knobs on which a learned vocabulary depends, other than through the text."""


def prepared_tokenizer(config: DataConfig, corpora: Sequence[Corpus], *, note: Note = ignore) -> Tokenizer:
    """The tokenizer that `data.tokenizer` names, else the one learned from these corpora, now or before.

    `note` gets the lines of `given_tokenizer` or `learn_tokenizer`.
    """
    if (given := given_tokenizer(config, note=note)) is not None:
        return given

    def build(directory: Path) -> None:
        notes: list[str] = []
        learn_tokenizer(config, corpora, note=notes.append).save(directory)
        (directory / "notes").write_text("".join(f"{line}\n" for line in notes), encoding="utf-8")

    knobs = [[name, getattr(config, name)] for name in INFLUENCE]
    key = [4, sentencepiece.__version__, text_key(corpora, config), knobs]
    about = f"vocabulary of {', '.join(corpus.name for corpus in corpora)}"
    entry = Cache(config.cache).entry("vocabulary", key, build, about=about)
    for line in (entry / "notes").read_text(encoding="utf-8").split("\n")[:-1]:
        note(line)
    return Tokenizer.load(entry)
