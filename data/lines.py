"""Lines of text files: read as bytes and split at b"\\n" only, so that all programs count the same lines."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from data.errors import InputError
from data.storage.cache import Cache
from data.storage.compression import OPENERS, SUFFIXES, reading
from data.storage.scan import BYTE_ORDER_MARK, identify, scan
from data.storage.stored import NUMBER, MemoryBytes, Numbers, StoredBytes

LINES = 4096  # lines that are decoded at once
SMALL = 1 << 24  # bytes of a plain file whose lines are found again at each start


class LineFile(Sequence[str]):
    """The lines of one text, stored as bytes and the positions of their ends, and decoded on access.

    Lines end at b"\\n" and nowhere else. A b"\\r" just before it is dropped, and so is a byte order mark at the start.

        b""       no line                b"\\n"          one line, empty
        b"a"      one line               b"a\\r\\nb\\x85c"  two lines: "a", "b\\x85c"
        b"a\\n"    the same one line
    """

    def __init__(self, name: str, content: StoredBytes | MemoryBytes, ends: Numbers, sha256: str):
        self.name = name
        self.sha256 = sha256
        self._content = content
        self._ends = ends
        self._first = len(BYTE_ORDER_MARK) * (content.read(0, min(3, content.size)) == BYTE_ORDER_MARK)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        indices = range(len(self))[index]
        if isinstance(indices, int):
            return self._read(indices, indices + 1)[0]
        if indices.step == 1:
            return self._read(indices.start, indices.stop)
        return [self[i] for i in indices]

    def _read(self, start: int, stop: int) -> list[str]:
        """The lines from `start` up to `stop`."""
        if start >= stop:
            return []
        ends = self._ends.read(max(0, start - 1), stop)
        first = int(ends[0]) + 1 if start else self._first
        try:
            lines = self._content.read(first, int(ends[-1])).decode().split("\n")
        except UnicodeDecodeError:
            lines = []
        if len(lines) != stop - start:
            raise InputError(f"{self.name}: changed while it was in use: leave text alone until training ends")
        return [line.removesuffix("\r") for line in lines]

    def __iter__(self) -> Iterator[str]:
        return (line for start in range(0, len(self), LINES) for line in self[start : start + LINES])


def read_lines(source: str | Path | bytes, *, name: str = "standard input", cache: Cache | None = None) -> LineFile:
    """The lines of a file, or of bytes already read, for which errors use `name`.

    A path may end in .gz, .xz or .zst. If it does not exist, it is tried with each of these added. With a cache, a
    compressed file is unpacked into it once, and so are the positions of the lines of a large plain file. Then memory
    does not grow with the text. Without, a compressed text is in memory, of a plain one only the positions.
    """
    if isinstance(source, bytes):
        return _in_memory(source, name)
    path = find_file(source)
    with reading(str(path)):
        is_compressed = path.suffix in OPENERS
        if not path.is_file():  # a pipe
            return _in_memory(path.read_bytes(), str(path))
        if cache is not None and (is_compressed or path.stat().st_size > SMALL):
            return _in_cache(path, cache)
        if is_compressed:
            with OPENERS[path.suffix](path, "rb") as file:
                return _in_memory(file.read(), str(path))
        ends: list[np.ndarray] = []
        with path.open("rb") as file:
            found = scan(str(path), file, lambda _, breaks: ends.append(breaks))
        return LineFile(str(path), StoredBytes(path), _joined(ends), found.sha256)


def _in_memory(content: bytes, name: str) -> LineFile:
    ends: list[np.ndarray] = []
    found = scan(name, io.BytesIO(content), lambda _, breaks: ends.append(breaks))
    return LineFile(name, MemoryBytes(content), _joined(ends), found.sha256)


def _joined(ends: list[np.ndarray]) -> Numbers:
    return Numbers.of(np.concatenate([np.zeros(0, np.int64), *ends]))


def _in_cache(path: Path, cache: Cache) -> LineFile:
    """The lines of a file, whose line ends are in the cache, and whose content is too if it is compressed."""
    entry = cache.entry("lines", identify(path), lambda directory: _unpack(path, directory), about=f"lines of {path}")
    content = StoredBytes(entry / "content" if path.suffix in OPENERS else path)
    return LineFile(str(path), content, Numbers(StoredBytes(entry / "ends")), (entry / "sha256").read_text())


def _unpack(path: Path, directory: Path) -> None:
    """Writes the files of the cache's entry for a text: `content` if it is compressed, `ends` and `sha256`."""
    with contextlib.ExitStack() as stack:
        ends = stack.enter_context((directory / "ends").open("wb"))
        content = stack.enter_context((directory / "content").open("wb")) if path.suffix in OPENERS else None

        def take(chunk: bytes, breaks: np.ndarray) -> None:
            ends.write(breaks.astype(NUMBER).tobytes())
            if content is not None:
                content.write(chunk)

        opener: Callable[..., Any] = OPENERS.get(path.suffix, open)
        with reading(str(path)):
            file = stack.enter_context(opener(path, "rb"))
        found = scan(str(path), file, take)
    (directory / "sha256").write_text(found.sha256)


def find_file(path: str | Path) -> Path:
    """The path itself, or with .gz, .xz or .zst added, whichever is a file. Raises InputError if none is."""
    candidates = [Path(f"{path}{suffix}") for suffix in ("", *OPENERS)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None and Path(path).exists():
        return Path(path)
    if found is None:
        raise InputError(f"{path}: no such file (nor with {SUFFIXES})")
    return found
