"""Reads, hashes and replaces files. Written files survive a crash, and an InputError says what went wrong.

New content is written under a temporary name in the same directory, flushed to the disk, then renamed.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError, lone_surrogate

DESCRIPTOR = re.compile(r"/dev/std(?P<name>out|err)|/(?:dev|proc/self)/fd/(?P<number>\d+)")
JUNK = frozenset(
    (
        *(".ds_store", ".localized", ".appledouble", "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini"),
        *(".directory", ".dropbox", ".dropbox.attr", "@eadir"),
    )
)
"""Files and directories that file managers and synchronisers leave behind, in lower case."""


def flush(path: Path) -> None:
    """Wait until a file's content, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(directory: Path) -> None:
    """`flush` every file and directory below a directory, then the directory itself."""
    for parent, _, names in os.walk(directory, topdown=False):
        for name in names:
            flush(Path(parent, name))
        flush(Path(parent))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically: even after a crash it has either the old content or the new, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    flush(path.parent)


def copy_atomically(source: Path, path: Path) -> None:
    """Replace a file by a copy of another, atomically. The content does not come into this process's memory."""
    partial = path.with_name(path.name + ".partial")
    shutil.copyfile(source, partial)
    flush(partial)
    partial.replace(path)
    flush(path.parent)


@contextlib.contextmanager
def writing(name: Path | str) -> Iterator[None]:
    """A context that turns an OSError into an InputError naming the file `name`; BrokenPipeError is not changed."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{name}: cannot be written: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named, creating its directory. InputError says why it cannot be written.

    A file is replaced. A link stays one, and the file that it leads to is replaced. A pipe, a device or an open
    descriptor such as /dev/stdout is written to, and stays what it is. Lone surrogates, which stand for odd bytes of a
    file's name, are written as escapes, which are those of JSON.
    """
    content = text.encode(errors="backslashreplace")
    with writing(path):
        if is_stream(path):
            with open_stream(path) as stream:
                stream.write(content)
            return
        target = target_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)


def check_writable(path: Path) -> None:
    """Create the directory of a file that will be written after long work. InputError now, if it could not be."""
    if is_stream(path):
        return
    target = target_of(path)
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe, a device, a socket or an open descriptor: to write to, never to replace."""
    return DESCRIPTOR.fullmatch(str(path)) is not None or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[io.BufferedWriter]:
    """A pipe, a device or an open descriptor, opened to write to. A named pipe waits for its reader."""
    if not (found := DESCRIPTOR.fullmatch(str(path))):
        with open(os.open(path, os.O_WRONLY), "wb") as stream:
            yield stream
        return
    sys.stdout.flush()
    # Opened anew, a file that stdout is redirected to would be written from its beginning.
    number = int(found["number"] or {"out": 1, "err": 2}[found["name"]])
    with open(os.dup(number), "wb") as stream:
        yield stream


def target_of(path: Path) -> Path:
    """The path itself, or if it is a link, what it leads to in the end, which need not exist."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write_json(path: Path, value: Any) -> None:
    """As `write_text`, writing a value as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def begin_directory(path: Path) -> Path:
    """A new empty directory PATH.partial, which `finish_directory` renames to PATH.

    If `path` is a link, it stays one, and leads to the new directory in the end. InputError if `path` exists and is not
    an empty directory, or if the new one cannot be created.
    """
    path = target_of(path)
    if path.exists() and (not path.is_dir() or any(not is_junk(entry.name) for entry in path.iterdir())):
        raise InputError(f"{path}: exists already, expected a new or empty directory: choose another, or remove it")
    home = path.resolve()  # "." has no name
    partial = home.with_name(home.name + ".partial")
    with writing(partial):
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    return partial


def finish_directory(partial: Path, path: Path) -> None:
    """Flush a complete directory to the disk, then give it its final name.

    If a shell stands in an empty directory of that name, as after `export RUN .`, it gets the files instead.
    """
    path = target_of(path)
    with writing(path):
        flush_tree(partial)
        if path.is_dir():
            remove_junk(path)
        if not (path.is_dir() and path.samefile(Path.cwd())):
            partial.replace(path)
            return
        for entry in sorted(partial.iterdir()):
            entry.replace(path / entry.name)
        partial.rmdir()


def remove_junk(directory: Path) -> None:
    """Delete what a file manager left in a directory."""
    for entry in directory.iterdir():
        if is_junk(entry.name):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def read_bytes(path: Path) -> bytes:
    """The content of a file that the user named. InputError says in one line why it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, expected a file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path) -> str:
    """The content of a UTF-8 file. InputError names the first line that is not UTF-8."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line} is not UTF-8: found byte 0x{content[error.start]:02x}") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_hash(paths: Sequence[Path]) -> str:
    """SHA-256 over the contents of several files, in order. It identifies a tokenizer or a corpus."""
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    return hashlib.sha256("".join(sha256(path) for path in paths).encode()).hexdigest()


def is_utf8(path: Path) -> bool:
    """Whether the bytes of a path are UTF-8."""
    return lone_surrogate(str(path)) is None


def is_junk(name: str) -> bool:
    """Whether a file or directory of this name was left by a file manager, such as .DS_Store or ._NAME, or by NFS."""
    return name.casefold() in JUNK or name.startswith(("._", ".nfs"))


def walk_files(directory: Path, first: str = "", *, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """The relative names of all files below a directory, sorted. Links are followed.

    With `first`, only the entry of that name in the directory, and everything below it. InputError for a pipe, a device
    and a link that leads nowhere or to a directory `above` it.
    """
    found = directory.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise InputError(f"{directory}: is a link to a directory that it is in")
    entries = (entry for entry in os.scandir(directory) if first in ("", entry.name))
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            yield from (f"{entry.name}/{name}" for name in walk_files(Path(entry.path), above=above | {here}))
        elif entry.is_file():
            yield entry.name
        else:
            raise InputError(f"{entry.path}: is not a file, nor a link to one; a checkpoint holds nothing else")
