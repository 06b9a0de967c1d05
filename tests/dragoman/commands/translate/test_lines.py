"""One output line for each input line, for any content and length; nothing is lost silently."""

import json

import numpy as np
import pytest

from data.batch import EOS
from data.sources import load_corpora
from data.vocabulary.spelling import Beginning
from dragoman.translation.line_search import Sentence, read
from tests.support.tiny_run import CONFIG
from transformer.decoding.searcher import Hypothesis

ODD = [
    "\u2028",
    "\u2029",
    "\x85",
    "\v",
    "\f",
    "\r",
    "\x00",
    "\x1c",
    "\x1d",
    "\x1e",
    "\t",
    "\u200b",
    "\ufeff",
    "\ufffd",
    "\x1b",
    "\x1f",
    "\x7f",
    "\xa0",
    "\u200d",
    "\u202e",
    "\u2581",
    "\u3000",
    "\ufdd0",
    "😀",
]


@pytest.mark.parametrize("ending", [b"\n", b"", b"\r\n"])
def test_odd_characters_and_blank_lines_never_change_the_number_of_lines(run, tmp_path, command, capsysbinary, ending):
    odd = [text for c in ODD for text in (f"{c}ab", f"a{c}b", f"ab{c}", c)]
    content = "\n".join(["", *odd, "  ", "\t", "abc"]).encode() + ending
    (tmp_path / "input").write_bytes(content)
    command([run, "--input", tmp_path / "input", "--output", tmp_path / "output"])
    command([run], stdin=content)
    written = (tmp_path / "output").read_bytes()
    assert capsysbinary.readouterr().out == written
    assert written.endswith(b"\n")
    assert written.count(b"\n") == len(written.decode().splitlines()) == len(odd) + 4
    blank = [number for number, line in enumerate(written.split(b"\n")[:-1]) if not line]
    assert {0, len(odd) + 1, len(odd) + 2} <= set(blank)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_no_input_gives_no_output(run, command, capsysbinary, tmp_path, content):
    command([run], stdin=content)
    command([run, "--output", tmp_path / "output"], stdin=content)
    assert capsysbinary.readouterr().out == (tmp_path / "output").read_bytes() == b""


def test_random_text_gives_as_many_lines(run, command, capsysbinary):
    generator = np.random.default_rng(5)
    alphabet = [*ODD, *"ab. ", *map(chr, generator.choice(np.r_[32:0xD800, 0xE000:0x110000], size=500))]
    lines = ["".join(generator.choice(alphabet, size=generator.integers(0, 12))) for _ in range(300)]
    command([run, "--beam", "1", "--chunk", "70"], stdin="\n".join([*lines, "x"]).encode())
    written = capsysbinary.readouterr().out
    assert written.count(b"\n") == len(written.decode().splitlines()) == len(lines) + 1
    assert all(not out for out, line in zip(written.split(b"\n"), lines, strict=False) if not line.strip())


def test_every_byte_and_line_break_the_model_can_emit_stays_on_one_line(translator):
    tokenizer = translator.tokenizer
    pieces = tokenizer.target_pieces(range(tokenizer.target_size))
    byte = {piece: id_ for id_, piece in enumerate(pieces) if piece.startswith("<0x")}
    assert len(byte) == 256
    letter = tokenizer.encode_target(["a"])[0]
    sequences = [[id_] for id_ in byte.values()]
    sequences += [[byte[f"<0x{b:02X}>"] for b in c.encode()] for c in ODD]
    rows = [Hypothesis([*letter, *middle, *letter], -1.0, -1.0, True) for middle in sequences]
    sentence = Sentence(0, 0, [EOS], Beginning(), ())
    for row in rows:
        [found] = read(translator, sentence, [row])
        assert len(found.text.splitlines()) == 1
        assert "\n" not in found.text


def test_a_line_that_is_too_long_is_translated_in_parts_with_a_warning_that_names_it(run, command, capsysbinary):
    long_line = "Abc def. " * 60  # each sentence fits
    command([run], stdin=f"abc\n{long_line}\nabc\n{'x' * 500}\n".encode())
    out, err = capsysbinary.readouterr()
    assert out.count(b"\n") == 4
    warnings = [line for line in err.decode().split("\n") if "longer than" in line]
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "warning: standard input, line 2: longer than 32 tokens, the longest in training: translated in "
    )
    assert "line 4" in warnings[1]


def test_a_long_line_is_the_parts_joined_by_spaces(translator):
    sentence = "abcdefgh ijklmn opqrst. "
    size = len(translator.tokenizer.encode_source([sentence.strip()])[0])
    assert translator.limit / 2 < size <= translator.limit
    one = translator.search([sentence.strip()])[0][0]
    three = translator.search([sentence * 3])[0][0]
    assert three.text == " ".join([one.text] * 3)
    assert (three.parts, three.tokens) == (3, 3 * one.tokens)
    assert three.log_probability == pytest.approx(3 * one.log_probability)


@pytest.mark.parametrize("most", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_lines_of_every_length_give_one_line_each_and_a_warning_where_they_are_cut(
    run, translator, command, capsysbinary, most
):
    at_most = "a" * (translator.limit - 1)  # and EOS
    lines = ["", "a", at_most, at_most + "a", "ab cd. " * (most // 7), "b" * most]
    sizes = [len(row) for row in translator.tokenizer.encode_source(lines)]
    assert sizes[2:4] == [translator.limit, translator.limit + 1]
    assert min(sizes[4:]) > most // 3
    command([run, "--beam", "1"], stdin="\n".join(lines).encode())
    out, err = capsysbinary.readouterr()
    texts = out.decode().split("\n")
    assert [bool(text) for text in texts] == [False, *[True] * 5, False]
    warned = [number for number in range(1, 7) if f"line {number}: longer than 32 tokens" in err.decode()]
    assert warned == [4, 5, 6]


def test_lines_that_met_the_length_limit_are_counted(run, command, capsysbinary):
    lines = [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs][:20]
    command([run, "--json", "--checkpoint", "30"], stdin="\n".join(lines).encode())
    out, err = capsysbinary.readouterr()
    cut = sum(not json.loads(line)["translations"][0]["is_finished"] for line in out.decode().splitlines())
    assert cut
    assert f"warning: standard input: {cut} of 20 lines met the length limit before their end" in err.decode()
