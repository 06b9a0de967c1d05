"""A directory of prepared data that processes and hosts may share: each entry is built once, whole or not at all.

    DIRECTORY/KIND-HASH/manifest.json, ...  an entry, whose files never change
    DIRECTORY/.building/                    entries under construction, and what killed builds left
    DIRECTORY/.locks/                       empty files, locked while an entry is built

An entry is built under another name and renamed when it is complete and on the disk, so one that has its final name is
whole. Correctness depends on this alone. Locks only save work: where they work, a second process waits for the first;
where they do not, as on some network file systems, both build, and the first to finish wins.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.storage.checksums import MANIFEST, find_damage, read_facts, seal

VARIABLE = "DRAGOMAN_DATA_CACHE"
ABANDONED = 24 * 3600  # seconds after which an unfinished build of another host is removed
DAY = 24 * 3600
ENTRY = re.compile("[a-z]+-[0-9a-f]{24}")  # nothing else is ever removed from a directory that a user names


class Entry(NamedTuple):
    """An entry of a cache: its directory, what it holds, its size in bytes, and when it was last used (Unix time)."""

    path: Path
    about: str
    size: int
    used: float


class Cache:
    """The entries below a directory: the one named, else that in DRAGOMAN_DATA_CACHE, else ~/.cache/dragoman/data.

    Nothing is written before the first entry is built. `note` gets a line when an entry is damaged, and when another
    process builds the one that is wanted.
    """

    def __init__(self, directory: str | Path = "", *, note: Callable[[str], None] | None = None):
        self.directory = Path(directory or os.environ.get(VARIABLE) or default_directory()).expanduser().absolute()
        self._note = note or _to_stderr

    def entry(self, kind: str, key: Any, build: Callable[[Path], None], *, about: str = "") -> Path:
        """The directory of the entry with this key, built by `build(directory)` if there is none.

        The key is a JSON value that decides the content: hashes of the input, options, a version of the format. `build`
        writes plain files directly into the new, empty directory that it is given. It writes them as files, not through
        a memory map: on a full disk, writing to a map kills the process. `about` says in a few words what the entry
        holds, for a list. A kind is a word of small letters.

        An existing entry is checked: the size of every file, and up to 1 GiB of its content (see `find_damage`). A
        damaged one is built again. InputError if the cache cannot be written. An OSError of `build` counts as that, so
        `build` turns its errors of reading into InputError.

            cache.entry("lengths", [sha256, 1], lambda directory: (directory / "lengths").write_bytes(...))
        """
        path = self._path(kind, key)
        if not find_damage(path):
            return _used(path)
        with self._writing():
            self.clean()
            with self._lock(path.name):
                if path.exists():
                    if not (damage := find_damage(path)):
                        return _used(path)
                    self._note(f"{path}: {damage}: the entry is built again")
                    self._remove(path)
                self._build(path, key, build, about)
        return path

    def find(self, kind: str, key: Any) -> Path | None:
        """The directory of the entry with this key, checked as in `entry`; None if there is none, or it is damaged."""
        path = self._path(kind, key)
        return None if find_damage(path) else _used(path)

    def remove(self, kind: str, key: Any) -> None:
        """Removes the entry with this key, if there is one."""
        with self._writing():
            self._remove(self._path(kind, key))

    def _path(self, kind: str, key: Any) -> Path:
        return self.directory / f"{kind}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}"

    def _build(self, path: Path, key: Any, build: Callable[[Path], None], about: str) -> None:
        partial = self._partial(path.name)
        partial.mkdir(parents=True)
        try:
            build(partial)
            seal(partial, key=key, about=about)
            self._publish(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _publish(self, partial: Path, path: Path) -> None:
        """Gives a complete entry its name, unless another host was faster."""
        try:
            partial.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if find_damage(path):
                self._remove(path)
                partial.rename(path)
            else:
                shutil.rmtree(partial, ignore_errors=True)

    def entries(self) -> list[Entry]:
        """All complete entries, the one used last first. Those without a readable manifest are listed as damaged."""
        found = []
        for path in self.directory.glob("*"):
            if not ENTRY.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in path.iterdir())
                try:
                    about, used = str(read_facts(path).get("about", "")), (path / MANIFEST).stat().st_mtime
                except (OSError, ValueError):
                    about, used = "damaged", path.stat().st_mtime
                found.append(Entry(path, about, size, used))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self, *, unused_days: float = 0.0) -> list[Entry]:
        """Removes the entries that were not used for `unused_days`, and returns them. Also removes abandoned builds.

        A process that has opened the files of an entry can still read them.
        """
        removed = [entry for entry in self.entries() if time.time() - entry.used >= unused_days * DAY]
        with self._writing():
            for entry in removed:
                self._remove(entry.path)
            self.clean()
        return removed

    def clean(self) -> None:
        """Removes what killed builds left: those of this host at once, those of others when they are a day old."""
        for partial in (self.directory / ".building").glob("*.*.*"):
            name, host, _ = partial.name.split(".", 2)
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - max(path.stat().st_mtime for path in [partial, *partial.glob("*")])
                if age > ABANDONED or (host == _host() and self._is_unlocked(name)):
                    shutil.rmtree(partial, ignore_errors=True)

    def _partial(self, name: str) -> Path:
        return self.directory / ".building" / f"{name}.{_host()}.{uuid.uuid4().hex[:8]}"

    def _remove(self, path: Path) -> None:
        """Removes an entry: renamed first, so that nothing finds a part of it."""
        moved = self._partial(path.name)
        moved.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rename(moved)
            shutil.rmtree(moved)

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """A context in which no other process of this host builds the entry. Lock files are never removed."""
        path = self.directory / ".locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            with contextlib.suppress(OSError):  # a file system without locks: every process builds, and one wins
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._note(f"{self.directory / name}: waiting for the process that builds it")
                    fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _is_unlocked(self, name: str) -> bool:
        try:
            with (self.directory / ".locks" / name).open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.directory}: the cache cannot be written: {error.strerror or error}: make room there "
                "(`dragoman cache --clear`), or name another directory with data.cache"
            ) from None


def default_directory() -> Path:
    """Where prepared data is kept if neither data.cache nor DRAGOMAN_DATA_CACHE names a directory."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "dragoman" / "data"


def _used(path: Path) -> Path:
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(path / MANIFEST)
    return path


def _host() -> str:
    """A name for the running system: other hosts, and this one after a restart, have different ones."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    identity = f"{os.uname().nodename} {boot.read_text() if boot.exists() else ''}"
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
