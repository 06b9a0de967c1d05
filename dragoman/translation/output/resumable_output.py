"""Writes lines to standard output, or to a file that can be resumed after any interruption.

FILE.partial        the output so far; it is renamed to FILE once it is complete
FILE.partial.json   the journal: how much of the output is valid, and the input, model and options it was made with

After each chunk the file is flushed to the disk, and then the journal is replaced. Whenever the program dies, the
journal therefore says how much of the file is valid. The same command resumes there, with byte-identical output.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from dragoman.files import flush, is_stream, open_stream, write_atomically, writing
from dragoman.translation.result import Translation

FORMAT = 2  # 2: a search spells prefixes and bytes in another way
BLOCK = 1 << 20  # bytes read at once
Identity = dict[str, Any]  # everything except the input that determines the output, by name, as JSON values


class Done(NamedTuple):
    """The progress of an output."""

    lines: int = 0
    unfinished: int = 0  # lines whose translation met the length limit
    input_sha256: str = ""  # of the input up to the last of these lines; "" before the first
    failed: int = 0  # lines without a translation

    def add(self, best: Sequence[Translation], *, input_sha256: str) -> "Done":
        """The progress after more lines, of which these are the best translations."""
        failed = sum(bool(one.problem) for one in best)
        unfinished = sum(not one.is_finished and not one.problem for one in best)
        return Done(self.lines + len(best), self.unfinished + unfinished, input_sha256, self.failed + failed)


class StreamOutput:
    """Output to standard output, a device or a pipe, which cannot be resumed."""

    partial = None

    def __init__(self, stream: io.BufferedIOBase, name: str):
        self.done, self.name, self._stream = Done(), name, stream

    def write(self, content: bytes, done: Done) -> None:
        """Add a chunk."""
        with writing(self.name):
            self._stream.write(content)
            self._stream.flush()
        self.done = done


class ResumableOutput:
    """Output to FILE.partial with a journal, locked by one process at a time."""

    def __init__(self, path: Path, identity: Identity, *, restart: bool = False):
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.journal = path.with_name(path.name + ".partial.json")
        self.done, self._identity = Done(), json.loads(json.dumps(identity))
        self._size, self._sha256 = 0, hashlib.sha256()
        with writing(path), contextlib.ExitStack() as stack:
            if path.is_dir():
                raise IsADirectoryError(None, "Is a directory")
            if not self.partial.exists():
                self.journal.unlink(missing_ok=True)  # it belongs to a file that is complete, or that someone removed
            self._stream = stack.enter_context(os.fdopen(os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b"))
            self._lock()
            if restart:
                self.journal.unlink(missing_ok=True)
            elif self.journal.exists():
                self._recall()
            self._stream.truncate(self._size)
            self._stream.seek(self._size)
            stack.pop_all()

    def write(self, content: bytes, done: Done) -> None:
        """Add a chunk. Once this returns, the chunk survives a crash of the process or the machine."""
        with writing(self.path):
            self._stream.write(content)
            self._flush()
            self._size += len(content)
            self._sha256.update(content)
            self.done = done
            record = {"format": FORMAT, **done._asdict(), "size": self._size, "sha256": self._sha256.hexdigest()}
            write_atomically(self.journal, json.dumps(record | {"identity": self._identity}, indent=1).encode())

    def finish(self) -> None:
        """Give the file its final name. If a kill leaves the journal behind after that, it is ignored."""
        with writing(self.path):
            self._flush()
            self.partial.replace(self.path)
            flush(self.path.parent)
            self.journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file so that it can be resumed; remove it if it has no lines."""
        if not self.done.lines and is_same(self._stream, self.partial):
            self.partial.unlink()
        with writing(self.path):
            self._stream.close()

    def _lock(self) -> None:
        """Lock the file. InputError if another process is writing it, or has just finished it."""
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.partial}: another process is writing it: wait for it, or choose another --output"
            ) from None
        if not is_same(self._stream, self.partial):
            raise InputError(f"{self.partial}: another process has just finished it: run the command again")

    def _recall(self) -> None:
        """Resume from the journal. InputError if its identity differs, or the file does not match it."""
        try:
            record = json.loads(self.journal.read_bytes())
            if record["format"] != FORMAT:
                raise ValueError
            done = Done(*(kind(record[field]) for field, kind in Done.__annotations__.items()))
            identity, size, sha256 = dict(record["identity"]), int(record["size"]), record["sha256"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InputError(f"{self.journal}: not a journal of this version: start again with --restart") from None
        for name in {**identity, **self._identity}:
            before, now = (values.get(name, "not set") for values in (identity, self._identity))
            if before != now:
                raise InputError(
                    f"{self.partial}: begun with {name} {before}, and now it is {now}: "
                    "give the same as before, or start again with --restart"
                )
        while self._size < size and (block := self._stream.read(min(BLOCK, size - self._size))):
            self._sha256.update(block)
            self._size += len(block)
        if self._sha256.hexdigest() != sha256:
            raise InputError(f"{self.partial}: not what was written to it: start again with --restart")
        self.done = done

    def _flush(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())


Output = StreamOutput | ResumableOutput  # both take a chunk with `write`, and `done` is where to resume


@contextlib.contextmanager
def open_output(path: Path | None, *, identity: Identity, restart: bool = False) -> Iterator[Output]:
    """Standard output, or a file that gets its final name once the block ends without an exception.

    An older file of that name stays until then. A partial file is resumed unless `restart` is set. InputError if it was
    begun with another identity, or is in use.
    """
    if path is None:
        standard_output: Any = sys.stdout.buffer
        yield StreamOutput(standard_output, "standard output")
    elif is_stream(path):
        with writing(path), open_stream(path) as stream:
            yield StreamOutput(stream, str(path))
    else:
        output = ResumableOutput(path.resolve(), identity, restart=restart)  # a link stays a link
        with contextlib.closing(output):
            yield output
            output.finish()


def is_same(stream: io.BufferedIOBase, path: Path) -> bool:
    """Whether a path still names this open file."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
