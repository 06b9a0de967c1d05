import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import InputError
from data.storage.cache import ABANDONED, VARIABLE, Cache, default_directory
from tests.support.paths import ROOT


def write(content):
    return lambda directory: (directory / "content").write_bytes(content)


def never(directory):
    raise AssertionError("built again")


def leftovers(cache):
    return list((cache.directory / ".building").glob("*"))


def test_an_entry_is_built_once_and_found_again(tmp_path):
    path = Cache(tmp_path).entry("text", ["a", 1], write(b"abc"))
    assert Cache(tmp_path).entry("text", ["a", 1], never) == path
    assert (path / "content").read_bytes() == b"abc"
    assert Cache(tmp_path).entry("text", ["a", 2], write(b"other")) != path
    assert not leftovers(Cache(tmp_path))


def test_an_entry_can_be_looked_for_without_building_it_and_removed(tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.remove("text", 1)
    assert cache.find("text", 1) is None
    path = cache.entry("text", 1, write(b"abc"))
    assert cache.find("text", 1) == path
    (path / "content").write_bytes(b"abd")
    assert cache.find("text", 1) is None
    cache.remove("text", 1)
    assert not path.exists()
    assert not leftovers(cache)


def test_the_directory_is_the_named_one_then_the_variable_then_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache(tmp_path / "named").directory == tmp_path / "named"
    assert Cache().directory == Path(os.environ[VARIABLE]) != default_directory()
    monkeypatch.delenv(VARIABLE)
    assert Cache().directory == tmp_path / "dragoman" / "data"


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed", "manifest", "no manifest"])
def test_a_damaged_entry_is_noticed_and_built_again(tmp_path, damage):
    notes = []
    cache = Cache(tmp_path, note=notes.append)
    path = cache.entry("text", "a", write(bytes(5 << 20)))
    content = path / "content"
    if damage == "flipped":
        with content.open("r+b") as file:
            file.seek((4 << 20) + 17)
            file.write(b"\1")
    elif damage == "cut":
        os.truncate(content, 1 << 20)
    elif damage == "removed":
        content.unlink()
    elif damage == "manifest":
        (path / "manifest.json").write_text('{"files": {"content": 3}}')
    else:
        (path / "manifest.json").unlink()
    assert cache.entry("text", "a", write(b"new")) == path
    assert content.read_bytes() == b"new"
    assert len(notes) == 1
    assert "the entry is built again" in notes[0]
    assert not leftovers(cache)


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(directory):
        write(b"half")(directory)
        raise InputError("bad text")

    with pytest.raises(InputError, match="bad text"):
        Cache(tmp_path).entry("text", "a", fail)
    assert not leftovers(Cache(tmp_path))
    assert not Cache(tmp_path).entries()


def test_a_killed_build_is_not_trusted_and_is_removed_later(tmp_path):
    program = (
        "import sys, time; from data.storage.cache import Cache\n"
        "def build(directory):\n"
        "    (directory / 'content').write_bytes(b'half'); print('begun', flush=True); time.sleep(600)\n"
        "Cache(sys.argv[1]).entry('text', 'a', build)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        cache = Cache(tmp_path)
        cache.clean()
        assert len(leftovers(cache)) == 1  # that process is alive
        process.kill()
    assert not cache.entries()
    path = cache.entry("text", "b", write(b"other"))
    assert not leftovers(cache)
    assert [entry.path for entry in cache.entries()] == [path]


def test_an_unfinished_build_of_another_host_is_removed_after_a_day(tmp_path):
    cache = Cache(tmp_path)
    partial = tmp_path / ".building" / "text-0.elsewhere.1"
    partial.mkdir(parents=True)
    cache.clean()
    assert leftovers(cache) == [partial]
    os.utime(partial, times=(0, time.time() - ABANDONED - 1))
    cache.clean()
    assert not leftovers(cache)


SLOW_BUILD = """
import errno, fcntl, sys, time
from data.storage.cache import Cache

def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")

def build(directory):
    time.sleep(0.5)
    print("built")
    (directory / "content").write_text(name * 1000)

directory, name, locks = sys.argv[1:]
if not int(locks):
    fcntl.flock = no_locks
sys.stdin.read(1)  # both begin together
Cache(directory).entry("text", "a", build)
"""


@pytest.mark.parametrize("locks", [1, 0])
def test_processes_that_build_at_once_do_not_harm_each_other(tmp_path, locks):
    """Without locks, as on some network file systems, both build."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    commands = [[sys.executable, "-c", SLOW_BUILD, str(tmp_path), name, str(locks)] for name in "xy"]
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for command in commands]
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    output = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], output
    assert sorted(out for out, _ in output) == ([b"", b"built\n"] if locks else [b"built\n"] * 2)
    assert [b"waiting for the process that builds it" in err for _, err in output].count(True) == locks
    assert (Cache(tmp_path).entry("text", "a", never) / "content").read_text() in ["x" * 1000, "y" * 1000]
    assert not leftovers(Cache(tmp_path))


def test_a_full_disk_gives_one_line_and_leaves_nothing(tmp_path):
    def fill(directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"cannot be written: No space left on device: make room .*data\.cache$"):
        Cache(tmp_path).entry("text", "a", fill)
    assert not leftovers(Cache(tmp_path))


def test_a_cache_that_cannot_be_written_gives_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/below: the cache cannot be written: Not a directory"):
        Cache(tmp_path / "file" / "below").entry("text", "a", write(b""))


def test_clearing_removes_what_was_not_used(tmp_path):
    cache = Cache(tmp_path)
    old, new = cache.entry("text", "old", write(b"12345"), about="old"), cache.entry("text", "new", write(b""))
    os.utime(old / "manifest.json", times=(0, time.time() - 3 * 24 * 3600))
    assert [entry.path for entry in cache.entries()] == [new, old]
    assert [entry.about for entry in cache.clear(unused_days=2.0)] == ["old"]
    assert [entry.path for entry in cache.entries()] == [new]
    own = [tmp_path / name for name in ("my-thesis", "xla-0123456789ab", "notes.txt")]
    for path in own:
        path.mkdir()
    cache.clear()
    assert not cache.entries()
    assert not leftovers(cache)
    assert all(path.exists() for path in own)
