"""Standard streams for reports, which outlive the terminal, the pipe or the disk that they are written to."""

import io
import os
import sys


class Report(io.RawIOBase):
    """A file descriptor to which reports are written. What cannot be written is dropped, without an error.

    A terminal may be closed, a reader of a pipe may end, and a disk may be full, while the work that is reported on
    goes on.
    """

    def __init__(self, descriptor: int):
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, content: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """The number of bytes written, or dropped."""
        try:
            return os.write(self._descriptor, content)
        except OSError:
            return len(content)


def report_to(descriptor: int) -> io.TextIOWrapper:
    """A text stream to a `Report`, line by line. Characters that the locale cannot write are written as escapes."""
    named = sys.__stderr__ if descriptor == 2 else sys.__stdout__
    return io.TextIOWrapper(
        io.BufferedWriter(Report(descriptor)),  # type: ignore[type-var]
        encoding=named.encoding if named is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )


def keep_reporting(*, output: bool) -> None:
    """Makes standard error a `Report`, and standard output too if `output` is true: for commands that write files.

    A closed descriptor becomes the null device. Otherwise the next file to be opened would get its number, and would
    receive the messages. Characters that standard output cannot write are written as escapes.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = report_to(2)
    if output:
        sys.stdout = report_to(1)
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
