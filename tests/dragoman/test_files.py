"""Files: a replacement is complete or absent, and a file that cannot be written is reported in one line."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.files import (
    begin_directory,
    check_writable,
    finish_directory,
    is_junk,
    is_stream,
    is_utf8,
    walk_files,
    write_atomically,
    write_json,
    write_text,
    writing,
)


def test_a_file_is_replaced_whole_and_its_directory_made(tmp_path):
    path = tmp_path / "new" / "scores.json"
    write_json(path, {"text": "é", "score": 1.5})
    assert path.read_text(encoding="utf-8") == '{\n  "text": "é",\n  "score": 1.5\n}\n'
    with path.open("rb") as before:
        write_text(path, "other\n")
        assert b"score" in before.read()  # another file took its name
    assert path.read_bytes() == b"other\n"
    assert os.listdir(path.parent) == ["scores.json"]


def test_a_replacement_that_fails_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    (tmp_path / "file.partial").mkdir()
    with pytest.raises(InputError, match=rf"^{path}: cannot be written: Is a directory$"):
        write_text(path, "new")
    assert path.read_bytes() == b"old"


def test_a_closed_pipe_is_not_an_input_error_and_other_errors_name_the_file():
    with pytest.raises(BrokenPipeError), writing("standard output"):
        raise BrokenPipeError
    message = r"^standard output: cannot be written: No space left on device$"
    with pytest.raises(InputError, match=message), writing("standard output"):
        raise OSError(28, "No space left on device")


def test_an_empty_working_directory_gets_the_files(tmp_path, monkeypatch):
    """As after `mkdir model && cd model && dragoman export RUN .`: the shell must not stand in a removed directory."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    before = os.stat(".").st_ino
    partial = begin_directory(Path("."))
    (partial / "data").mkdir()
    (partial / "model.bin").write_text("complete")
    finish_directory(partial, Path("."))
    assert (sorted(os.listdir(".")), os.stat(".").st_ino) == (["data", "model.bin"], before)
    assert os.listdir(tmp_path) == ["model"]


def test_a_directory_gets_its_name_once_it_is_complete(tmp_path):
    path = tmp_path / "model"
    (begin_directory(path) / "left").write_text("by a writer that was killed")
    partial = begin_directory(path)
    assert (os.listdir(partial), path.exists()) == ([], False)
    (partial / "model.bin").write_text("complete")
    finish_directory(partial, path)
    assert (os.listdir(path), partial.exists()) == (["model.bin"], False)
    with pytest.raises(InputError, match=r"model: exists already, expected a new or empty directory"):
        begin_directory(path)


def test_a_pipe_and_a_device_are_written_to_and_stay_what_they_are(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    for text in ("first\n", "second\n"):
        reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
        reader.start()
        check_writable(pipe)
        write_text(pipe, text)
        reader.join(10)
    assert (read, pipe.is_fifo(), os.listdir(tmp_path)) == (["first\n", "second\n"], True, ["pipe"])
    write_text(Path(os.devnull), "nothing")
    assert is_stream(Path(os.devnull))
    assert not is_stream(tmp_path / "none")
    assert not is_stream(tmp_path)


def test_an_open_descriptor_is_continued_and_not_written_from_its_beginning(tmp_path):
    program = (
        "from pathlib import Path; from dragoman.files import write_text\n"
        "print('before'); write_text(Path('/dev/stdout'), 'text\\n'); write_text(Path('/dev/fd/2'), 'error\\n')\n"
        "print('after')"
    )
    with (tmp_path / "out").open("wb") as out, (tmp_path / "error").open("wb") as error:
        subprocess.run([sys.executable, "-c", program], stdout=out, stderr=error, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"
    assert (tmp_path / "error").read_text() == "error\n"


def test_the_odd_bytes_of_a_name_are_written_as_escapes_which_json_reads_back(tmp_path):
    name = os.fsdecode(b"gr\xc3\xb6\xff.txt")
    write_json(tmp_path / name, {"name": name})
    assert (tmp_path / name).read_text(encoding="utf-8") == '{\n  "name": "grö\\udcff.txt"\n}\n'
    assert json.loads((tmp_path / name).read_bytes()) == {"name": name}
    assert (is_utf8(tmp_path / "grö.txt"), is_utf8(tmp_path / name)) == (True, False)


def test_a_link_stays_one_and_the_file_it_leads_to_is_new(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real").write_text("old")
    (tmp_path / "link").symlink_to("far/real")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "nowhere").symlink_to("new/file")
    for name in ("link", "chain", "nowhere"):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == name
    assert (tmp_path / "far" / "real").read_text() == "chain"
    assert (tmp_path / "new" / "file").read_text() == "nowhere"
    assert os.listdir(tmp_path / "far") == ["real"]


def test_a_file_that_cannot_be_written_is_reported_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "file")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/x: cannot be written: (File exists|Not a directory)"):
        check_writable(tmp_path / "file" / "x")
    with pytest.raises(InputError, match=r"new: cannot be written: Is a directory"):
        check_writable(tmp_path / "new")
    assert (tmp_path / "file").read_text() == ""


def test_a_directory_that_a_file_manager_visited_is_empty_and_a_link_to_one_stays_a_link(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / ".DS_Store").write_text("x")
    (tmp_path / "link").symlink_to(path)
    partial = begin_directory(tmp_path / "link")
    (partial / "model.bin").write_text("complete")
    finish_directory(partial, tmp_path / "link")
    assert (os.listdir(path), (tmp_path / "link").is_symlink()) == (["model.bin"], True)
    with pytest.raises(InputError, match=r"model: exists already, expected a new or empty directory"):
        begin_directory(tmp_path / "link")


def test_files_are_walked_through_links_but_never_in_a_circle(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "b").write_text("x")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "a").symlink_to("../real/b")
    (tmp_path / "top" / "directory").symlink_to("../real")
    assert list(walk_files(tmp_path / "top")) == ["a", "directory/b"]
    assert list(walk_files(tmp_path / "top", "directory")) == ["directory/b"]
    (tmp_path / "real" / "up").symlink_to("../top")
    with pytest.raises(InputError, match=r"up: is a link to a directory that it is in"):
        list(walk_files(tmp_path / "top"))


@pytest.mark.parametrize(
    "name", [".DS_Store", "._model.bin", "Thumbs.db", "thumbs.db", "desktop.ini", "Icon\r", ".nfs0001"]
)
def test_what_file_managers_leave_is_junk(name):
    assert is_junk(name)


@pytest.mark.parametrize("name", ["_METADATA", "_sharding", "manifest.ocdbt", "d", ".zarray", ".", "DS_Store", "extra"])
def test_nothing_that_a_checkpoint_holds_is_junk(name):
    assert not is_junk(name)
