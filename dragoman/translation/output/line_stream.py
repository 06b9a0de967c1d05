"""Reads the lines of a text of any size, a chunk at a time, counting and hashing what was read."""

import codecs
import contextlib
import hashlib
import io
import sys
import time
from collections.abc import Iterator
from typing import Any

from data.errors import InputError
from data.lines import find_file
from data.storage.compression import OPENERS, reading
from data.storage.scan import BYTE_ORDER_MARK
from dragoman.translation.output.pipe_reader import LONGEST_WAIT, PipeReader

CHUNK_BYTES = 1 << 20  # a chunk ends with the line that reaches this size, so long lines need no more memory
LONGEST_LINE = 1 << 26  # bytes; a file without a line break for that long is not text


class LineStream:
    """The lines of a stream of bytes, split by the rules of `LineFile` and read once.

    `number` counts the lines taken or skipped so far, and `sha256` is over all their bytes, line ends included.
    """

    def __init__(self, stream: io.BufferedIOBase | PipeReader, name: str, *, is_seekable: bool):
        self.name, self.number, self.sha256 = name, 0, hashlib.sha256()
        self._stream, self._is_seekable = stream, is_seekable
        self._problems: dict[int, str] = {}

    @property
    def is_typed(self) -> bool:
        """Whether a person types the lines at a terminal."""
        return isinstance(self._stream, PipeReader) and self._stream.is_terminal

    def take(self, count: int, *, size: int = CHUNK_BYTES) -> list[str]:
        """The next lines: at most `count`, and no more once they reach `size` bytes; none at the end.

        From a pipe or a terminal, the lines that have arrived. A line that is not UTF-8 is blank: see `take_problems`.
        InputError names a line that is endless.
        """
        lines: list[str] = []
        until = 0.0
        with reading(self.name):
            while (
                len(lines) < count and size > 0 and (not lines or self._has_arrived(until)) and (line := self._read())
            ):
                until = until or time.monotonic() + LONGEST_WAIT
                size -= len(line)
                try:
                    lines.append(self._content(line).decode())
                except UnicodeDecodeError as error:
                    self._problems[self.number] = f"not UTF-8 (byte 0x{error.object[error.start]:02x})"
                    lines.append("")
        return lines

    def take_problems(self) -> dict[int, str]:
        """Why lines that were taken since the last call cannot be read, by their numbers."""
        problems, self._problems = self._problems, {}
        return problems

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

        InputError if more than half of them are not UTF-8. Call this before any line is taken.
        """
        if not self._is_seekable or isinstance(self._stream, PipeReader):
            return None
        start = self._stream.tell()
        ahead = LineStream(self._stream, self.name, is_seekable=False)
        good, bad, first = 0, 0, ""
        while lines := ahead.take(sys.maxsize):
            problems = ahead.take_problems()
            good += sum(bool(line.strip()) for line in lines)
            bad += len(problems)
            first = first or next((f"line {number}: {why}" for number, why in problems.items()), "")
        if bad > good:
            raise InputError(
                f"{self.name}, {first}, and so are {bad} of {ahead.number} lines: convert the file to UTF-8"
            )
        with reading(self.name):
            self._stream.seek(start)
        return ahead.number

    def _has_arrived(self, until: float) -> bool:
        """Whether another line can be read soon: see `PipeReader`. A file has arrived."""
        return not isinstance(self._stream, PipeReader) or self._stream.has_line(until)

    def _read(self) -> bytes:
        """The next line with its line break; b"" after the last."""
        line = self._stream.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{self.name}, line {self.number + 1}: longer than {LONGEST_LINE} bytes: expected text with line breaks"
            )
        if not self.number and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(f"{self.name}: is UTF-16: convert the file to UTF-8")
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
        is_seekable = stream.seekable()
        yield LineStream(
            stream if is_seekable else PipeReader(stream.fileno()), "standard input", is_seekable=is_seekable
        )
        return
    found = find_file(path)
    with contextlib.ExitStack() as stack:
        with reading(str(found)):
            file: Any = stack.enter_context(found.open("rb"))
            is_seekable = file.seekable()
            if not is_seekable and found.suffix not in OPENERS:
                file = PipeReader(file.fileno())
            if found.suffix in OPENERS:
                file = stack.enter_context(OPENERS[found.suffix](file))
        yield LineStream(file, str(found), is_seekable=is_seekable)
