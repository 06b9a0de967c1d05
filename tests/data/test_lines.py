import gzip
import lzma
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.lines import SMALL, read_lines
from data.storage.cache import Cache
from data.storage.scan import CHUNK
from data.text.cleaning import one_line
from tests.support.paths import ROOT

ODD = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\u2581", "\ufeff", "\t", "\u200b"]


COMPRESSORS = [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)]


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


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSORS)
def test_a_name_without_suffix_finds_the_compressed_file(tmp_path, suffix, compress):
    (tmp_path / f"train.en{suffix}").write_bytes(compress(b"a\nb\n"))
    assert list(read_lines(tmp_path / "train.en")) == ["a", "b"]
    assert read_lines(tmp_path / "train.en").sha256 == read_lines(b"a\nb\n").sha256


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSORS[1:])
def test_a_compressed_text_is_unpacked_once(tmp_path, suffix, compress):
    path = tmp_path / f"train.en{suffix}"
    path.write_bytes(compress(b"a\r\nb\n\xc3\xa4"))
    cache = Cache(tmp_path / "cache")
    first = read_lines(path, cache=cache)
    (entry,) = cache.entries()
    before = (entry.path / "content").stat().st_mtime_ns
    second = read_lines(tmp_path / "train.en", cache=cache)
    assert [*first] == [*second] == ["a", "b", "ä"]
    assert first.sha256 == second.sha256 == read_lines(b"a\r\nb\n\xc3\xa4").sha256
    assert len(cache.entries()) == 1
    assert (entry.path / "content").stat().st_mtime_ns == before
    path.write_bytes(compress(b"c\n"))
    assert [*read_lines(path, cache=cache)] == ["c"]
    assert [*first] == ["a", "b", "ä"]


def test_the_line_ends_of_a_large_plain_text_are_cached(tmp_path):
    """Memory then holds neither the text nor the positions."""
    path, cache = tmp_path / "train.en", Cache(tmp_path / "cache")
    text = "Zeile\n" * (SMALL // 6 + 2)
    path.write_text(text)
    lines = read_lines(path, cache=cache)
    (entry,) = cache.entries()
    assert sorted(file.name for file in entry.path.iterdir()) == ["ends", "manifest.json", "sha256"]
    assert (len(lines), lines[-1], lines.sha256) == (SMALL // 6 + 2, "Zeile", read_lines(text.encode()).sha256)
    copy = pickle.loads(pickle.dumps(lines))  # as worker processes get it
    assert copy[5:7] == ["Zeile", "Zeile"]


MEMORY = """
import sys
from pathlib import Path
from data.storage.cache import Cache
from data.lines import read_lines

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

Path(sys.argv[1]).write_bytes((b"x" * 63 + bytes([10])) * 1_500_000)
read_lines(bytes(1 << 23), name="warm up")
before = resident()
lines = read_lines(sys.argv[1], cache=Cache(sys.argv[2]))
assert sum(map(len, lines)) == 63 * len(lines) == 63 * 1_500_000
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_text(tmp_path):
    """The text has 96 MB, and the positions of its lines 12 MB."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "train.en"), str(tmp_path / "cache")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24 << 20


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 7])
def test_a_chunk_may_end_within_a_character_or_a_line(cut):
    """The text is longer than what is read at once, and its bytes are shifted against the border."""
    content = b"x" * cut + "äö\n€\r\n𝄞\n".encode() * (CHUNK // 17 + 3)
    assert "\n".join(read_lines(content)) + "\n" == content.decode().replace("\r", "")


def test_a_text_that_changes_while_it_is_in_use_is_noticed(tmp_path):
    path = tmp_path / "train.en"
    path.write_bytes(b"a\nb\nc\n")
    lines = read_lines(path)
    path.write_bytes(b"a\n")
    with pytest.raises(InputError, match=r"train\.en: became shorter while it was in use"):
        lines[2]
    path.write_bytes(b"abcdefg")
    with pytest.raises(InputError, match=r"train\.en: changed while it was in use"):
        lines[0:2]


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


@pytest.mark.parametrize("name", ["a.gz", "a.xz", "a.zst", "cut.gz", "cut.xz", "cut.zst", "cut.zst-stream"])
def test_a_damaged_archive_is_refused(tmp_path, name):
    name, _, kind = name.partition("-")
    suffix = "." + name.partition(".")[2]
    content = os.urandom(300_000).hex().encode()
    compressed = dict(COMPRESSORS)[suffix](content)
    if kind == "stream":  # without the size of the content in the header
        compressor = zstandard.ZstdCompressor().compressobj()
        compressed = compressor.compress(content) + compressor.flush()
    (tmp_path / name).write_bytes(compressed[:-9] if name.startswith("cut") else b"not compressed")
    for cache in (None, Cache(tmp_path / "cache")):
        with pytest.raises(InputError, match=f"{name}: cannot be decompressed"):
            read_lines(tmp_path / name, cache=cache)
    assert not Cache(tmp_path / "cache").entries()


def test_a_zst_file_of_several_frames_is_read_to_its_end(tmp_path):
    """Parallel compressors write such files."""
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"a\n") + zstandard.compress(b"") + zstandard.compress(b"b\n"))
    assert list(read_lines(tmp_path / "a.zst")) == ["a", "b"]


@given(st.text(st.one_of(st.sampled_from(["\n", *ODD]), st.characters(exclude_categories=["Cs"]))))
def test_one_line_is_one_line_for_every_program(text):
    assert len(one_line(text + "x").splitlines()) == 1
    assert len(one_line(text)) == len(text)
    assert one_line("a\u2028b") == "a b"
