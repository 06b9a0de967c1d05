"""Lines of text files: read as bytes and split at b"\\n" only, so that all programs count the same lines."""

import contextlib
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from data.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


class LineFile(Sequence[str]):
    """The lines of one text, stored as bytes and offsets, and decoded on access.

    Lines end at b"\\n" and nowhere else. A b"\\r" just before it is dropped, and so is a byte order mark at the start.

        b""       no line                b"\\n"          one line, empty
        b"a"      one line               b"a\\r\\nb\\x85c"  two lines: "a", "b\\x85c"
        b"a\\n"    the same one line
    """

    def __init__(self, content: bytes, name: str):
        self.name = name
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._content = content.removeprefix(BYTE_ORDER_MARK)
        breaks = np.flatnonzero(np.frombuffer(self._content, np.uint8) == ord("\n"))
        if self._content and not self._content.endswith(b"\n"):
            breaks = np.append(breaks, len(self._content))
        self._ends = breaks
        self._check()

    def _check(self) -> None:
        """Raises InputError that names the first line that is not UTF-8. Decodes in blocks, for large files."""
        for first in range(0, len(self), 4096):
            last = min(first + 4096, len(self)) - 1
            try:
                self._content[self._start(first) : self._ends[last]].decode()
            except UnicodeDecodeError as error:
                line = int(np.searchsorted(self._ends, self._start(first) + error.start)) + 1
                raise not_utf8(self.name, line, error) from None

    def _start(self, index: int) -> int:
        return int(self._ends[index - 1]) + 1 if index else 0

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self._content[self._start(index) : self._ends[index]].removesuffix(b"\r").decode()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def read_lines(source: str | Path | bytes, *, name: str = "standard input") -> LineFile:
    """The lines of a file, or of bytes already read, for which errors use `name`.

    A path may end in .gz or .xz. If it does not exist, it is tried with each of these added.
    """
    if isinstance(source, bytes):
        return LineFile(source, name)
    path = find_file(source)
    with reading(str(path)), OPENERS.get(path.suffix, open)(path, "rb") as file:
        return LineFile(file.read(), str(path))


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """A context that turns errors of reading a file into InputError, in which the file is called `name`."""
    try:
        yield
    except DAMAGED as error:
        raise InputError(f"{name}: cannot be decompressed ({error}): the file is damaged or misnamed") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None


def not_utf8(name: str, line: int, error: UnicodeDecodeError) -> InputError:
    """The error for a line that is not UTF-8."""
    return InputError(
        f"{name}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}): convert the file to UTF-8"
    )


def find_file(path: str | Path) -> Path:
    """The path itself, or with .gz or .xz added, whichever is a file. Raises InputError if none is."""
    candidates = [Path(f"{path}{suffix}") for suffix in ("", *OPENERS)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None and Path(path).exists():
        return Path(path)
    if found is None:
        raise InputError(f"{path}: no such file (nor with .gz or .xz)")
    return found
