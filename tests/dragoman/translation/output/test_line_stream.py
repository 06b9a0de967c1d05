"""A stream yields the same lines as a whole file, for any size of chunks."""

import gzip
import hashlib
import io
import lzma
import os
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.lines import BYTE_ORDER_MARK, read_lines
from dragoman.translation.output import line_stream
from dragoman.translation.output.line_stream import LineStream, open_lines
from dragoman.translation.output.pipe_reader import PipeReader

PIECES = [b"\n", b"\r", b"\r\n", b"a", BYTE_ORDER_MARK, b"\0", b"\v", b"\x1c", "\x85\u2028é".encode(), b"ab cd"]
RAGGED = st.lists(st.sampled_from(PIECES)).map(b"".join)


def stream(content: bytes) -> LineStream:
    return LineStream(io.BytesIO(content), "text", is_seekable=True)


def chunks(lines: LineStream, count: int, size: int = 1 << 20) -> list[list[str]]:
    return list(iter(lambda: lines.take(count, size=size), []))


@given(RAGGED, st.integers(1, 5), st.integers(1, 9))
def test_chunks_of_any_size_are_the_lines_of_the_whole(content, count, size):
    lines = stream(content)
    found = chunks(lines, count, size)
    assert [line for chunk in found for line in chunk] == list(read_lines(content))
    assert all(len(chunk) <= count for chunk in found)
    assert lines.number == len(read_lines(content))


@given(st.binary(max_size=30))
def test_a_stream_has_the_lines_of_the_whole_file_and_names_those_that_are_not_utf8(content):
    lines = stream(content)
    found = lines.take(99)
    problems = lines.take_problems()
    if not problems:
        assert found == list(read_lines(content, name="text"))
        return
    number, problem = min(problems.items())
    with pytest.raises(InputError, match=rf"^text, line {number}: {re.escape(problem)}: convert the file to UTF-8$"):
        read_lines(content, name="text")
    assert not any(found[number - 1] for number in problems)


def test_a_chunk_ends_with_the_line_that_fills_it():
    assert chunks(stream(b"a\nbbb\nc\nd\n"), 9, size=6) == [["a", "bbb"], ["c", "d"]]


@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_file_is_counted_and_then_read_from_its_start(tmp_path, suffix, compress):
    (tmp_path / f"text{suffix}").write_bytes(compress(b"a\nb\nc"))
    with open_lines(str(tmp_path / "text")) as lines:
        assert lines.count() == 3
        lines.skip(1)
        assert (lines.take(9), lines.number) == (["b", "c"], 3)
        assert lines.sha256.hexdigest() == hashlib.sha256(b"a\nb\nc").hexdigest()


def test_a_pipe_is_not_counted(monkeypatch):
    read, write = os.pipe()
    os.write(write, b"a\nb\n")
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with open_lines(None) as lines:
            assert lines.count() is None
            assert lines.take(9) == ["a", "b"]


def test_skipped_lines_must_be_unchanged():
    before = stream(b"a\nb\nc\n")
    before.take(2)
    expected = before.sha256.hexdigest()
    after = stream(b"a\nb\nanother\n")
    after.skip(2, sha256=expected)
    assert after.take(1) == ["another"]
    for other in (b"a\nB\nc\n", b"a\n", b"a\nb"):
        with pytest.raises(InputError, match="text: its first 2 lines are not those that were translated before"):
            stream(other).skip(2, sha256=expected)


def test_a_line_that_is_not_utf8_is_blank_and_named_wherever_reading_began():
    lines = stream(b"ok\n" * 5000 + b"caf\xe9\nok\n")
    assert lines.count() == 5002
    lines.skip(4990)
    assert chunks(lines, 5)[-1] == ["", "ok"]
    assert lines.take_problems() == {5001: "not UTF-8 (byte 0xe9)"}
    assert not lines.take_problems()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\nok\ncaf\xe9\n\xe9\n", r"text, line 4: not UTF-8 \(byte 0xe9\), and so are 2 of 5 lines: convert"),
        ("a\nb".encode("utf-16"), "text: is UTF-16: convert the file to UTF-8"),
    ],
)
def test_a_text_in_another_encoding_is_rejected_before_anything_is_translated(content, message):
    with pytest.raises(InputError, match=message):
        stream(content).count()


def test_lines_of_a_pipe_are_taken_when_they_have_arrived():
    read, write = os.pipe()
    os.write(write, b"a\nb\nc")
    with open(read, "rb") as pipe:
        lines = LineStream(PipeReader(pipe.fileno()), "pipe", is_seekable=False)
        assert lines.take(9) == ["a", "b"]
        os.write(write, b"d\n\n" + b"e" * 30_000)
        assert lines.take(1) == ["cd"]
        os.close(write)
        assert lines.take(9) == ["", "e" * 30_000]
        assert lines.take(9) == []


def test_text_without_line_breaks_is_rejected(monkeypatch):
    monkeypatch.setattr(line_stream, "LONGEST_LINE", 4)
    assert stream(b"abc\nabcd").take(9) == ["abc", "abcd"]
    with pytest.raises(InputError, match="text, line 2: longer than 4 bytes: expected text with line breaks"):
        stream(b"abc\nabcd\n").take(9)


def test_an_unreadable_file_is_reported_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"text\n" * 100)[:-9])
    for name, message in [("none", "no such file"), (".", "Is a directory"), ("cut.gz", "cannot be decompressed")]:
        with pytest.raises(InputError, match=message), open_lines(str(tmp_path / name)) as lines:
            lines.count()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed: name a file with --input"), open_lines(None):
        pass


def test_a_terminal_is_told_from_a_pipe():
    for open_pair, is_typed in ((os.openpty, True), (os.pipe, False)):
        first, second = open_pair()
        read = second if is_typed else first
        assert LineStream(PipeReader(read), "stream", is_seekable=False).is_typed == is_typed
        os.close(first)
        os.close(second)
    assert not stream(b"a\n").is_typed
