"""Reads files, also compressed ones. To add a format, add its suffix to OPENERS, and its errors to DAMAGED."""

import contextlib
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd

    ZstdError = zstd.ZstdError
else:
    import zstandard

    ZstdError = zstandard.ZstdError

INPUT = 1 << 17  # compressed bytes read at once
LARGEST_WINDOW = 1 << 31  # what `zstd --long=31` needs; smaller ones need less memory


class ZstdFile(io.RawIOBase):
    """The decompressed bytes of a .zst file of any number of frames, read forwards; `seek(0)` starts again.

    The reader of the package zstandard ends without an error where a file was cut off. This one raises EOFError.
    """

    def __init__(self, file: Any, *, is_owner: bool):
        self._file, self._is_owner = file, is_owner
        self._begin()

    def _begin(self) -> None:
        if self._file.seekable():
            self._file.seek(0)
        self._frame: Any = None
        self._input = self._output = b""
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """Whether `seek` works."""
        return bool(self._file.seekable())

    def tell(self) -> int:
        """The number of bytes that were read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes back to the beginning, the only position there is."""
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a .zst file can only be read from its beginning")
        self._begin()
        return 0

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer with the next bytes, and returns their number; 0 at the end."""
        while not self._output and self._decompress():
            pass
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        self._position += count
        return count

    def _decompress(self) -> bool:
        """Decompresses a part of the input. False at the end of the file."""
        self._input = self._input or self._file.read(INPUT)
        if not self._input:
            if self._frame is not None:
                raise EOFError("the file ends within a compressed frame")
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()
        self._output = self._frame.decompress(self._input)
        self._input = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return True

    def close(self) -> None:
        """Closes the file, if it was opened here."""
        if self._is_owner:
            self._file.close()
        super().close()


def open_zstd(file: str | Path | Any, mode: str = "rb") -> Any:
    """A .zst file, by its path or an open file of bytes, for reading decompressed bytes."""
    if sys.version_info >= (3, 14):
        return zstd.open(file, mode)
    is_owner = isinstance(file, str | Path)
    return io.BufferedReader(ZstdFile(open(file, mode) if is_owner else file, is_owner=is_owner))


OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".zst": open_zstd}
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, ZstdError)
SUFFIXES = ", ".join(OPENERS)  # for messages


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """A context that turns errors of reading a file into InputError, in which the file is called `name`."""
    try:
        yield
    except DAMAGED as error:
        raise InputError(f"{name}: cannot be decompressed ({error}): the file is damaged or misnamed") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None
