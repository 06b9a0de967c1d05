"""Bytes and whole numbers in files, read where they are asked for, so that memory does not grow with the file.

Files are read at positions instead of being mapped into memory. The pages of a map would count as memory of the
process, and a map of a file that became shorter ends the process without a message.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from data.errors import InputError

NUMBER = np.dtype("<i8")


class StoredBytes:
    """The bytes of a file, by position. They stay readable after it is deleted. Worker processes open it again."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor = -1
        self._open()
        self.size = os.fstat(self._descriptor).st_size

    def _open(self) -> int:
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read: {error.strerror}") from None
        return self._descriptor

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`. InputError if the file has become shorter."""
        parts = []
        while start < stop:
            try:
                part = os.pread(self._open(), stop - start, start)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read: {error.strerror}") from None
            if not part:
                raise InputError(
                    f"{self.path}: became shorter while it was in use: leave text alone until training ends"
                )
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptor": -1}

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


class MemoryBytes:
    """Bytes in memory, with the interface of StoredBytes."""

    def __init__(self, content: bytes):
        self.size = len(content)
        self._content = content

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        return self._content[start:stop]


class Numbers:
    """Whole numbers, 8 bytes each, in memory or in a file."""

    def __init__(self, content: StoredBytes | MemoryBytes):
        self._content = content

    @classmethod
    def of(cls, numbers: Int[np.ndarray, " n"]) -> "Numbers":
        """Numbers in memory."""
        return cls(MemoryBytes(numbers.astype(NUMBER).tobytes()))

    def __len__(self) -> int:
        return self._content.size // NUMBER.itemsize

    def read(self, start: int, stop: int) -> Int[np.ndarray, " n"]:
        """The numbers from index `start` up to `stop`."""
        return np.frombuffer(self._content.read(start * NUMBER.itemsize, stop * NUMBER.itemsize), NUMBER)
