"""Reads the lines of a text of any size, a chunk at a time, counting and hashing what was read."""

import contextlib
import hashlib
import io
import sys
from collections.abc import Iterator
from typing import Any

from data.compression import OPENERS, reading
from data.errors import InputError
from data.lines import find_file
from data.scan import BYTE_ORDER_MARK, not_utf8

CHUNK_BYTES = 1 << 20  # a chunk ends with the line that reaches this size, so long lines need no more memory
LONGEST_LINE = 1 << 26  # bytes; a file without a line break for that long is not text


class LineStream:
    """The lines of a stream of bytes, split by the rules of `LineFile` and read once.

    `number` counts the lines taken or skipped so far, and `sha256` is over all their bytes, line ends included.
    """

    def __init__(self, stream: io.BufferedIOBase, name: str, *, is_seekable: bool):
        self.name, self.number, self.sha256 = name, 0, hashlib.sha256()
        self._stream, self._is_seekable = stream, is_seekable

    def take(self, count: int, *, size: int = CHUNK_BYTES) -> list[str]:
        """The next lines: at most `count`, and no more once they reach `size` bytes; none at the end.

        InputError names a line that is not UTF-8 or is endless.
        """
        lines: list[str] = []
        with reading(self.name):
            while len(lines) < count and size > 0 and (line := self._read()):
                size -= len(line)
                try:
                    lines.append(self._content(line).decode())
                except UnicodeDecodeError as error:
                    raise not_utf8(self.name, self.number, error) from None
        return lines

    def skip(self, count: int, *, sha256: str = "") -> None:
        """Skips the next lines. InputError if a SHA-256 is given and the lines so far do not match it."""
        end = self.number + count
        with reading(self.name):
            while self.number < end and self._read():
                pass
        if sha256 and (self.number < end or self.sha256.hexdigest() != sha256):
            raise InputError(
                f"{self.name}: its first {end} lines are not those that were translated before: "
                "put the same text back, or start again with --restart"
            )

    def count(self) -> int | None:
        """The number of lines, after checking them all. None for a stream that can be read only once.

        Call this before any line is taken."""
        if not self._is_seekable:
            return None
        start = self._stream.tell()
        ahead = LineStream(self._stream, self.name, is_seekable=False)
        while ahead.take(sys.maxsize):
            pass
        with reading(self.name):
            self._stream.seek(start)
        return ahead.number

    def _read(self) -> bytes:
        """The next line with its line break; b"" after the last."""
        line = self._stream.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{self.name}, line {self.number + 1}: longer than {LONGEST_LINE} bytes: expected text with line breaks"
            )
        if line == BYTE_ORDER_MARK and not self.number:  # alone, it is not a line
            return b""
        self.sha256.update(line)
        self.number += bool(line)
        return line

    def _content(self, line: bytes) -> bytes:
        """A line without its line break, and the first line without a byte order mark."""
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        return line.removeprefix(BYTE_ORDER_MARK) if self.number == 1 else line


@contextlib.contextmanager
def open_lines(path: str | None) -> Iterator[LineStream]:
    """The lines of a file, plain, .gz, .xz or .zst, or of standard input. InputError says why it cannot be read."""
    if path is None:
        if sys.stdin is None:
            raise InputError("standard input is closed: name a file with --input")
        stream: Any = sys.stdin.buffer
        yield LineStream(stream, "standard input", is_seekable=stream.seekable())
        return
    found = find_file(path)
    with contextlib.ExitStack() as stack:
        with reading(str(found)):
            file: Any = stack.enter_context(found.open("rb"))
            is_seekable = file.seekable()
            if found.suffix in OPENERS:
                file = stack.enter_context(OPENERS[found.suffix](file))
        yield LineStream(file, str(found), is_seekable=is_seekable)
