"""An output file is complete or absent, and after any interruption it resumes to the same bytes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.translation.output.resumable_output import Done, open_output
from tests.support.paths import ROOT

IDENTITY = {"beam": 4, "model": "abc", "json": False}

# Writes each line of a file in capitals, 7 at a time; exits abruptly before the k-th call that reaches the disk.
PROGRAM = """
import contextlib, os, sys, time
from pathlib import Path
from dragoman.translation.output.line_stream import open_lines
from dragoman.translation.output.resumable_output import open_output
from dragoman.translation.output.translated_lines import Written, write_translations
from dragoman.translation.result import BLANK

_, source, target, last_call, pause = sys.argv
calls = 0

def counted(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == int(last_call):
            os._exit(9)
        return function(*arguments, **options)
    return call

os.fsync, Path.replace, Path.unlink = counted(os.fsync), counted(Path.replace), counted(Path.unlink)

def translate(chunk, progress):
    time.sleep(float(pause))
    return Written([line.upper() for line in chunk.lines], [BLANK] * len(chunk.lines))

with open_lines(source) as lines, open_output(Path(target), identity={"case": "upper"}) as output:
    print("begun", flush=True)
    write_translations(
        translate, lines, [], output, part=range(sys.maxsize), total=None, chunk=7, limit=9,
        waiting=contextlib.nullcontext,
    )
"""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def begin(path: Path, content: bytes = b"one\ntwo\n", **identity: object) -> None:
    """Leaves a partial file with two lines, as a stop does."""
    with contextlib.suppress(KeyboardInterrupt), open_output(path, identity=IDENTITY | identity) as output:
        output.write(content, Done(2, 1, "e" * 64))
        raise KeyboardInterrupt


def start(source: Path, target: Path, *, last_call: int = 0, pause: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, str(source), str(target), str(last_call), str(pause)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen) -> int:
    with process:
        return process.wait(60)


def test_an_output_resumes_after_a_process_dies_before_any_call_that_reaches_the_disk(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"".join(b"line %d\n" % number for number in range(14)))
    last_call, ends = 0, 0
    while True:
        last_call += 1
        target.unlink(missing_ok=True)
        first = finish(start(source, target, last_call=last_call))
        assert first in (0, 9)
        if target.exists():
            assert target.read_bytes() == source.read_bytes().upper()
        if first == 0:
            break
        ends += 1
        assert finish(start(source, target)) == 0
        assert target.read_bytes() == source.read_bytes().upper()
        assert names(tmp_path) == ["in", "out"]
    assert ends > 10


def test_a_process_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"".join(b"line %d\n" % number for number in range(2000)))
    generator, places = random.Random(1), []
    for _ in range(8):
        with start(source, target, pause=0.005) as process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(generator.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        assert not target.exists() or target.read_bytes() == source.read_bytes().upper()
        journal = tmp_path / "out.partial.json"
        places.append(json.loads(journal.read_bytes())["lines"] if journal.exists() else 0)
    assert places == sorted(places)
    assert len(set(places)) > 2
    assert finish(start(source, target)) == 0
    assert target.read_bytes() == source.read_bytes().upper()
    assert names(tmp_path) == ["in", "out"]


def test_an_output_resumes_where_it_stopped(tmp_path):
    path = tmp_path / "out"
    begin(path)
    assert names(tmp_path) == ["out.partial", "out.partial.json"]
    with (tmp_path / "out.partial").open("ab") as stream:
        stream.write(b"a chunk that the journal does not know")
    with open_output(path, identity=IDENTITY) as output:
        assert output.done == Done(2, 1, "e" * 64)
        output.write(b"three\n", Done(3, 1, "f" * 64))
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert names(tmp_path) == ["out"]


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    begin(path)
    assert path.read_text() == "before"
    with open_output(path, identity=IDENTITY):
        pass
    with open_output(path, identity=IDENTITY | {"beam": 5}) as output:
        assert output.done == Done()
    assert path.read_bytes() == b""


def test_a_stop_before_the_first_chunk_leaves_nothing(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), open_output(tmp_path / "out", identity=IDENTITY):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_another_identity_is_rejected_unless_restart_is_set(tmp_path):
    path = tmp_path / "out"
    begin(path)
    for change, message in [
        ({"beam": 5}, "begun with beam 4, and now it is 5: give the same as before, or start again with --restart"),
        ({"new": True}, "begun with new not set, and now it is True"),
    ]:
        with pytest.raises(InputError, match=message), open_output(path, identity=IDENTITY | change):
            pass
    assert (tmp_path / "out.partial").read_bytes() == b"one\ntwo\n"
    with open_output(path, identity=IDENTITY | {"beam": 5}, restart=True) as output:
        assert output.done == Done()
        output.write(b"new\n", Done(1, 0, "f" * 64))
    assert path.read_bytes() == b"new\n"


@pytest.mark.parametrize("content", [b"", b"one\n", b"one\ntwO\n"])
def test_a_partial_file_that_was_edited_is_rejected(tmp_path, content):
    begin(tmp_path / "out")
    (tmp_path / "out.partial").write_bytes(content)
    with (
        pytest.raises(InputError, match="not what was written to it: start again with --restart"),
        open_output(tmp_path / "out", identity=IDENTITY),
    ):
        pass


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"format": 2}', b"\xff", b"[" * 100_000, '"size": 8', '"lines": 2']
)
def test_a_broken_journal_is_rejected(tmp_path, content):
    begin(tmp_path / "out")
    journal = tmp_path / "out.partial.json"
    if isinstance(content, str):  # a field of the wrong type
        content = journal.read_text().replace(content, content.split(":")[0] + ": null").encode()
    journal.write_bytes(content)
    with (
        pytest.raises(InputError, match="not a journal of this version: start again with --restart"),
        open_output(tmp_path / "out", identity=IDENTITY),
    ):
        pass


def test_a_journal_without_a_partial_file_is_ignored(tmp_path):
    begin(tmp_path / "out")
    (tmp_path / "out.partial").rename(tmp_path / "out")
    with open_output(tmp_path / "out", identity=IDENTITY | {"beam": 1}) as output:
        assert output.done == Done()
    assert names(tmp_path) == ["out"]


def test_two_processes_never_write_one_file(tmp_path):
    with open_output(tmp_path / "out", identity=IDENTITY) as output:
        output.write(b"one\n", Done(1, 0, "e" * 64))
        with (
            pytest.raises(
                InputError, match=r"out\.partial: another process is writing it: wait for it, or choose another"
            ),
            open_output(tmp_path / "out", identity=IDENTITY, restart=True),
        ):
            pass
    assert (tmp_path / "out").read_bytes() == b"one\n"


def test_a_link_stays_a_link_and_a_device_is_written_to(tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with open_output(tmp_path / "link", identity=IDENTITY) as output:
        output.write(b"one\n", Done(1, 0, "e" * 64))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"one\n"
    with open_output(Path(os.devnull), identity=IDENTITY) as output:
        output.write(b"one\n", Done(1, 0, "e" * 64))
    assert not Path(os.devnull + ".partial").exists()


def test_standard_output_that_is_a_file_is_appended_to(tmp_path):
    program = (
        "from pathlib import Path\n"
        "from dragoman.translation.output.resumable_output import Done, Identity, open_output\n"
        "with open_output(Path('/dev/stdout'), identity={}) as output:\n"
        "    output.write(b'one\\n', Done(1, 0, 'e' * 64))\n"
    )
    (tmp_path / "out").write_text("before\n")
    with (tmp_path / "out").open("ab") as stream:
        subprocess.run([sys.executable, "-c", program], stdout=stream, check=True, cwd=ROOT)
    assert (tmp_path / "out").read_text() == "before\none\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_full_disk_is_reported_in_one_line():
    with (
        pytest.raises(InputError, match="/dev/full: cannot be written: No space left on device"),
        open_output(Path("/dev/full"), identity=IDENTITY) as output,
    ):
        output.write(b"one\n", Done(1, 0, "e" * 64))


def test_the_journal_is_json_with_progress_and_identity(tmp_path):
    begin(tmp_path / "out")
    record = json.loads((tmp_path / "out.partial.json").read_text())
    assert record["identity"] == IDENTITY
    assert (record["lines"], record["unfinished"], record["size"]) == (2, 1, 8)
