"""What decides the text that corpora give: the key of everything that is computed from it and kept in the cache.

A corpus's fingerprint alone is not enough: from the same files, other languages or another cleaning read another text.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.batch import Pair
from data.config import DataConfig
from data.sources.corpus import Corpus

SAMPLE = 256  # pairs of each corpus whose text is part of the key


def text_key(corpora: Sequence[Corpus], config: DataConfig) -> list[Any]:
    """What decides the text: that of the files, and the options that change it when it is read."""
    texts = [[corpus.fingerprint, len(corpus.pairs), sample_hash(corpus.pairs)] for corpus in corpora]
    return [config.source_language, config.target_language, config.text_identity(), texts]


def sample_hash(pairs: Sequence[Pair]) -> str:
    """The SHA-256 of pairs at even distances, in case that a fingerprint does not tell all about a text."""
    digest = hashlib.sha256()
    for place in np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).astype(int)).tolist():
        digest.update("\xff".join((*pairs[place], "")).encode())
    return digest.hexdigest()
