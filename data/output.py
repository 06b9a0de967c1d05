"""Where a program writes its text: standard output, or a file that is never seen half written."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from data.errors import InputError


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that gets its name once it is complete; what is there before stays until then."""
    if path is None or (path.exists() and not path.is_file() and not path.is_dir()):  # a device or a pipe
        with contextlib.nullcontext(sys.stdout.buffer) if path is None else path.open("wb") as stream:
            yield stream
            stream.flush()
        return
    path = path.resolve()  # a link stays one
    partial = path.with_name(path.name + ".partial")
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
