import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.lines import read_lines
from data.text.cleaning import one_line

ODD = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\u2581", "\ufeff", "\t", "\u200b"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"\n", [""]),
        (b"\n\n", ["", ""]),
        (b"a\r\nb\xc2\x85c", ["a", "b\x85c"]),
        (b"a\r\r\n\r\n", ["a\r", ""]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_lines_end_at_newlines_and_nowhere_else(content, lines):
    assert list(read_lines(content)) == lines


@given(st.lists(st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])))))
def test_any_text_comes_back_line_by_line(lines):
    lines = ["x" + line.replace("\n", "").rstrip("\r") for line in lines]
    assert list(read_lines("".join(line + "\n" for line in lines).encode())) == lines


def test_lines_support_indexing_slicing_and_len():
    lines = read_lines(b"a\nb\nc")
    assert (len(lines), lines[0], lines[-1], lines[1:]) == (3, "a", "c", ["b", "c"])
    with pytest.raises(IndexError):
        lines[3]


@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_name_without_suffix_finds_the_compressed_file(tmp_path, suffix, compress):
    (tmp_path / f"train.en{suffix}").write_bytes(compress(b"a\nb\n"))
    assert list(read_lines(tmp_path / "train.en")) == ["a", "b"]
    assert read_lines(tmp_path / "train.en").sha256 == read_lines(b"a\nb\n").sha256


def test_bad_utf8_names_file_and_line(tmp_path):
    path = tmp_path / "bad.en"
    path.write_bytes(b"ok\n" * 10000 + b"caf\xe9\nok\n")
    with pytest.raises(InputError, match=r"bad\.en, line 10001: not UTF-8 \(byte 0xe9\)"):
        read_lines(path)
    with pytest.raises(InputError, match="standard input, line 1: not UTF-8"):
        read_lines(b"\xc3\n\xa4")


@pytest.mark.parametrize(
    ("name", "message"), [("none.en", "no such file"), ("folder", "cannot be read: Is a directory")]
)
def test_a_path_that_is_not_a_file_is_rejected(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        read_lines(tmp_path / name)


@pytest.mark.parametrize("name", ["a.gz", "a.xz", "cut.gz"])
def test_a_damaged_archive_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b"text" * 100)[:-9] if name == "cut.gz" else b"not compressed")
    with pytest.raises(InputError, match="cannot be decompressed"):
        read_lines(tmp_path / name)


@given(st.text(st.one_of(st.sampled_from(["\n", *ODD]), st.characters(exclude_categories=["Cs"]))))
def test_one_line_is_one_line_for_every_program(text):
    assert len(one_line(text + "x").splitlines()) == 1
    assert len(one_line(text)) == len(text)
    assert one_line("a\u2028b") == "a b"
