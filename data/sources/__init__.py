"""Sources of sentence pairs. To add one, write a loader in a new file, and add its line to SOURCES.

corpus                the form that every source yields, with random access to pairs
files tfds bible toy  the sources
identity              the key of everything that is computed from a text and kept in the cache
statistics            what a run remembers of its source text, measured once
"""

from collections.abc import Callable

from data.config import DataConfig
from data.errors import InputError
from data.sources.bible import load_bible
from data.sources.corpus import CleanPairs, Corpus, Split
from data.sources.files import load_files
from data.sources.tfds import load_tfds
from data.sources.toy import load_toy

__all__ = ["SOURCES", "Corpus", "Split", "load_corpora"]

SOURCES: dict[str, Callable[[DataConfig, Split], list[Corpus]]] = {
    "files": load_files,
    "tfds": load_tfds,
    "bible": load_bible,
    "toy": load_toy,
}


def load_corpora(config: DataConfig, split: Split) -> list[Corpus]:
    """The corpora of a split, in the order in which the recipe names them. References are never cleaned."""
    if config.train_weights and config.corpus != "files":
        raise InputError(f'data.train_weights: weights are for corpus "files", and data.corpus is "{config.corpus}"')
    corpora = SOURCES[config.corpus](config, split)
    if split == "train" and config.cleaning == "all":
        return [corpus._replace(pairs=CleanPairs(corpus.pairs)) for corpus in corpora]
    return corpora
