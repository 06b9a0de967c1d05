"""Files: a replacement is complete or absent, and a file that cannot be written is reported in one line."""

import os
from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.files import begin_directory, finish_directory, write_atomically, write_json, write_text, writing


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
