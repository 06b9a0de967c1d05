"""Reads a text once, in chunks: where its lines end, its SHA-256, and whether it is UTF-8."""

import codecs
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from data.errors import InputError
from data.storage.compression import reading

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CHUNK = 1 << 22  # bytes that are read at once
SETTLED = 2.0  # seconds without a change after which a file's times show any later change


class Scan(NamedTuple):
    """What reading a whole text finds: its SHA-256 and the number of its lines."""

    sha256: str
    lines: int


def scan(name: str, stream: Any, take: Callable[[bytes, Int[np.ndarray, " n"]], object]) -> Scan:
    """Reads a text in chunks. `take` gets each chunk, and the positions in the text where lines end.

    InputError names the first line that is not UTF-8.
    """
    digest, decode = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    position = lines = 0
    start, end = b"", b"\n"
    while chunk := _read(name, stream):
        pending = len(decode.getstate()[0])
        breaks = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
        try:
            decode.decode(chunk)
        except UnicodeDecodeError as error:
            raise not_utf8(name, lines + 1 + int(np.searchsorted(breaks, error.start - pending)), error) from None
        take(chunk, breaks + position)
        digest.update(chunk)
        position, lines = position + len(chunk), lines + len(breaks)
        start, end = start or chunk[: len(BYTE_ORDER_MARK)], chunk[-1:]
    try:
        decode.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise not_utf8(name, lines + 1, error) from None
    if end != b"\n" and not (position == len(BYTE_ORDER_MARK) and start == BYTE_ORDER_MARK):  # alone, it is not a line
        take(b"", np.array([position]))
        lines += 1
    return Scan(digest.hexdigest(), lines)


def _read(name: str, stream: Any) -> bytes:
    with reading(name):
        chunk: bytes = stream.read(CHUNK)
    return chunk


def not_utf8(name: str, line: int, error: UnicodeDecodeError) -> InputError:
    """The error for a line that is not UTF-8."""
    return InputError(
        f"{name}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}): convert the file to UTF-8"
    )


def identify(path: Path) -> list[str | int]:
    """What is the same for a file as long as its content is: a key for a cache.

    It is the file's place, size and times, which need not read it. For a file that was written moments ago, whose times
    might not show another change, it is the SHA-256 of its content.
    """
    found = os.stat(path)
    if abs(time.time() - max(found.st_mtime, found.st_ctime)) > SETTLED:
        return [str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    with path.open("rb") as file:
        return [hashlib.file_digest(file, "sha256").hexdigest(), path.suffix]
