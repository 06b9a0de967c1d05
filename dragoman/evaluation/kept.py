"""A cache of what evaluations compute, in the one that `dragoman cache` lists and clears.

    outputs-...      translations of a text by a model     statistics-...    of each sentence, what a metric counts
    references-...   a model's probability of references   intervals-...     by bootstrap
    details-...      words, confidences and alignments     differences-...   p-values

The key of an entry holds everything that decides its content: a model's identity as `dragoman translate` records it for
resuming, hashes of the texts, the signature of a metric.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.sources.corpus import fingerprint_of
from data.storage.cache import VARIABLE, Cache
from dragoman.messages import warn_once

FORMAT = 1  # of all entries
FILE = "value.json"


class Kept:
    """JSON values by kind and key. If `is_fresh`, none is read, and what is computed replaces older values."""

    def __init__(self, directory: str | Path = "", *, is_fresh: bool = False):
        self._cache, self._is_fresh = Cache(directory), is_fresh

    def get(self, kind: str, key: Any, compute: Callable[[], Any], *, about: str) -> Any:
        """The JSON value with this key: read if it is there, else computed and stored. `about` describes it in a list.

        If the cache cannot be written, the value is computed all the same, and a warning says that it is not stored.
        """
        key = [FORMAT, key]
        if not self._is_fresh and (path := self._cache.find(kind, key)):
            return json.loads((path / FILE).read_bytes())
        value = compute()
        content = json.dumps(value, ensure_ascii=False).encode()
        try:
            if self._is_fresh:
                self._cache.remove(kind, key)
            self._cache.entry(kind, key, lambda new: _write(new / FILE, content), about=about)
        except InputError:
            warn_once(
                f"results are not kept for later, because {self._cache.directory} cannot be written: make room there, "
                f"or name another directory in {VARIABLE}"
            )
        return json.loads(content)

    def has(self, kind: str, key: Any) -> bool:
        """Whether a value with this key would be read."""
        return not self._is_fresh and self._cache.find(kind, [FORMAT, key]) is not None


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def hash_of(*texts: Sequence[str]) -> str:
    """A hash of lines of text, in order; of several texts, with their limits."""
    return fingerprint_of([line for text in texts for line in (str(len(text)), *text)])
