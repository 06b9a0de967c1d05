"""Translation of lines: the same text whatever is around it, one line out for each line in, nothing lost in silence."""

import functools
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import translate as program
from data.batch import BOS, EOS, PAD, UNK
from data.errors import InputError
from data.sources import load_corpora
from data.tokenizer import Tokenizer
from tests.tiny_run import CONFIG, make_run, tiny_parameters
from transformer.decoding.batches import bucket_of, make_batches
from transformer.decoding.requests import Request
from transformer.decoding.searcher import Hypothesis, Model, search_sentences
from transformer.loading import with_decoding
from transformer.model import merge
from transformer.signals import Interrupted
from translator import Demands, Translator

ROOT = Path(__file__).parent.parent
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


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("translate") / "run", bleu={10: 1.0, 20: 3.0, 30: 2.0})


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs][:32]


@pytest.fixture(scope="module")
def translator(run) -> Translator:
    return Translator.load(run)


def command(arguments, monkeypatch, *, stdin: bytes = b"") -> int | None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return program.main([str(argument) for argument in arguments])


# --- the same result whatever is around it ----------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batch_size_and_order_change_no_bit_of_text_or_score(run, lines, beam, precision):
    config = with_decoding(CONFIG, {"beam": beam})
    config = config.model_copy(update={"model": config.model.model_copy(update={"precision": precision})})
    tokenizer = Tokenizer.load(run)
    translator = Translator(*tiny_parameters(config, tokenizer, seed=20), config, tokenizer, n_best=beam)
    expected = translator.search(lines)
    assert len({found[0].text for found in expected}) > 10
    for batch_size, seed in [(1, 1), (2, 2), (7, 3), (32, 4)]:
        order = np.random.default_rng(seed).permutation(len(lines))
        found = translator.search([lines[place] for place in order], batch_size=batch_size)
        assert found == [expected[place] for place in order]


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_300_lines_in_any_batch_and_order_have_the_same_bits(run, beam, precision):
    lines = [pair.source for pair in load_corpora(CONFIG.data, "train")[0].pairs][:300]
    config = with_decoding(CONFIG, {"beam": beam})
    config = config.model_copy(update={"model": config.model.model_copy(update={"precision": precision})})
    tokenizer = Tokenizer.load(run)
    translator = Translator(*tiny_parameters(config, tokenizer, seed=20), config, tokenizer, n_best=beam)
    expected = translator.search(lines)
    orders = [np.arange(300), np.arange(300)[::-1], *(np.random.default_rng(n).permutation(300) for n in (1, 2))]
    for batch_size in (1, 2, 7, 32, 64, 300):
        for order in orders if batch_size > 2 else orders[2:3]:
            found = translator.search([lines[place] for place in order], batch_size=batch_size)
            assert found == [expected[place] for place in order]


def test_batches_on_several_devices_have_the_bits_of_one(translator, lines):
    requests = list(map(Request, translator.tokenizer.encode_source(lines)))

    def search(devices):
        batches = search_sentences(
            translator.model,
            requests,
            decoding=CONFIG.decoding,
            maximum_length=48,
            batch_size=8,
            devices=devices,
        )
        return {place: row for places, rows in batches for place, row in zip(places, rows, strict=True)}

    assert search(jax.devices()[1:3]) == search(())


def test_a_line_alone_is_translated_as_among_others(translator, lines):
    together = translator.search(lines)
    assert [translator.search([line])[0] for line in lines[::7]] == together[::7]


@pytest.mark.parametrize("beam", [1, 4])
def test_the_score_of_a_search_is_the_score_of_the_forced_decoder(run, lines, beam):
    config = with_decoding(CONFIG, {"beam": beam, "length_penalty": 0.7})
    tokenizer = Tokenizer.load(run)
    graph, parameters = tiny_parameters(config, tokenizer, seed=20)
    sources = tokenizer.encode_source(lines)
    checked = 0
    for places, rows in search_sentences(
        Model((graph,), (parameters,)),
        list(map(Request, sources)),
        decoding=config.decoding,
        maximum_length=48,
        keep=beam,
    ):
        for place, hypotheses in list(zip(places, rows, strict=True))[:12]:
            for hypothesis in hypotheses:
                forced = forced_log_probability(graph, parameters, sources[place], hypothesis)
                length = len(hypothesis.tokens) + hypothesis.is_finished
                assert hypothesis.log_probability == pytest.approx(forced, rel=1e-5, abs=1e-5)
                assert hypothesis.score == pytest.approx(forced / ((5 + length) / 6) ** 0.7, rel=1e-5, abs=1e-5)
                checked += 1
    assert checked > 10


def forced_log_probability(graph, parameters, source: list[int], hypothesis: Hypothesis) -> float:
    """The same output's log-probability by the decoder over the whole target, without a cache."""
    labels = [*hypothesis.tokens, *[EOS] * hypothesis.is_finished]
    rows = [padded(source, 32), padded([BOS, *labels[:-1]], 48)]
    log_probabilities = np.asarray(forced(graph, parameters, *rows))
    return float(sum(log_probabilities[place, label] for place, label in enumerate(labels)))


def padded(row: list[int], length: int) -> np.ndarray:
    return np.array([row + [PAD] * (length - len(row))], np.int32)


@functools.partial(jax.jit, static_argnames="graph")
def forced(graph, parameters, source, inputs):
    model = merge(graph, parameters)
    segments = [(tokens != PAD).astype(jnp.int32) for tokens in (source, inputs)]
    places = [jnp.arange(tokens.shape[1])[None] for tokens in (source, inputs)]
    memory = model.encode(source, segments[0], places[0])
    hidden = model.decode(inputs, memory, segments[0], segments[1], places[1])
    return jax.nn.log_softmax(model.logits(hidden).astype(jnp.float32))[0]


def test_batches_hold_sentences_of_one_bucket_and_like_length():
    batches = make_batches([20, 3, 30, 5], maximum_length=256, batch_size=2)
    assert [tuple(batch) for batch in batches] == [([1, 3], 16), ([0, 2], 32)]
    assert [bucket_of(length, 48) for length in (1, 16, 17, 33, 48)] == [16, 16, 32, 48, 48]


def test_a_beam_with_damaged_parameters_is_refused(run):
    tokenizer = Tokenizer.load(run)
    graph, parameters = tiny_parameters(CONFIG, tokenizer, seed=1)
    parameters = jax.tree.map(lambda x: x * np.nan, parameters)
    for beam in (1, 4):
        translator = Translator(graph, parameters, with_decoding(CONFIG, {"beam": beam}), tokenizer)
        with pytest.raises(InputError, match="the model gives no finite score: its parameters are damaged"):
            translator.translate(["abc"])


def test_translation_stops_when_asked(translator, lines):
    with pytest.raises(Interrupted):
        translator.search(lines, is_stopping=lambda: True)


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [b"\n", b"", b"\r\n"])
def test_odd_characters_and_blank_lines_never_change_the_number_of_lines(
    run, tmp_path, monkeypatch, capsysbinary, ending
):
    odd = [text for c in ODD for text in (f"{c}ab", f"a{c}b", f"ab{c}", c)]
    content = "\n".join(["", *odd, "  ", "\t", "abc"]).encode() + ending
    (tmp_path / "input").write_bytes(content)
    command([run, "--input", tmp_path / "input", "--output", tmp_path / "output"], monkeypatch)
    command([run], monkeypatch, stdin=content)
    written = (tmp_path / "output").read_bytes()
    assert capsysbinary.readouterr().out == written
    assert written.endswith(b"\n")
    assert written.count(b"\n") == len(written.decode().splitlines()) == len(odd) + 4
    blank = [number for number, line in enumerate(written.split(b"\n")[:-1]) if not line]
    assert {0, len(odd) + 1, len(odd) + 2} <= set(blank)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_no_input_gives_no_output(run, monkeypatch, capsysbinary, tmp_path, content):
    command([run], monkeypatch, stdin=content)
    command([run, "--output", tmp_path / "output"], monkeypatch, stdin=content)
    assert capsysbinary.readouterr().out == (tmp_path / "output").read_bytes() == b""


def test_random_text_gives_as_many_lines(run, monkeypatch, capsysbinary):
    generator = np.random.default_rng(5)
    alphabet = [*ODD, *"ab. ", *map(chr, generator.choice(np.r_[32:0xD800, 0xE000:0x110000], size=500))]
    lines = ["".join(generator.choice(alphabet, size=generator.integers(0, 12))) for _ in range(300)]
    command([run, "--beam", "1", "--chunk", "70"], monkeypatch, stdin="\n".join([*lines, "x"]).encode())
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
    for row in rows:
        [found] = translator.read([EOS], [row])
        assert len(found.text.splitlines()) == 1
        assert "\n" not in found.text


def test_a_line_that_is_too_long_is_translated_in_parts_with_a_warning_that_names_it(run, monkeypatch, capsysbinary):
    long_line = "abc def. " * 60
    command([run], monkeypatch, stdin=f"abc\n{long_line}\nabc\n{'x' * 500}\n".encode())
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
    run, translator, monkeypatch, capsysbinary, most
):
    at_most = "a" * (translator.limit - 1)  # and EOS
    lines = ["", "a", at_most, at_most + "a", "ab cd. " * (most // 7), "b" * most]
    sizes = [len(row) for row in translator.tokenizer.encode_source(lines)]
    assert sizes[2:4] == [translator.limit, translator.limit + 1]
    assert min(sizes[4:]) > most // 3
    command([run, "--beam", "1"], monkeypatch, stdin="\n".join(lines).encode())
    out, err = capsysbinary.readouterr()
    texts = out.decode().split("\n")
    assert [bool(text) for text in texts] == [False, *[True] * 5, False]
    warned = [number for number in range(1, 7) if f"line {number}: longer than 32 tokens" in err.decode()]
    assert warned == [4, 5, 6]


def test_lines_that_met_the_length_limit_are_counted(run, monkeypatch, capsysbinary):
    lines = [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs][:20]
    command([run, "--json", "--checkpoint", "30"], monkeypatch, stdin="\n".join(lines).encode())
    out, err = capsysbinary.readouterr()
    cut = sum(not json.loads(line)["translations"][0]["is_finished"] for line in out.decode().splitlines())
    assert cut
    assert f"warning: standard input: {cut} of 20 lines met the length limit before their end" in err.decode()


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_default_checkpoint_is_the_one_of_best_validation_bleu(run, translator, lines):
    assert translator.step == 20
    assert Translator.load(run / "checkpoints" / "20").translate(lines[:8]) == translator.translate(lines[:8])
    assert Translator.load(run, checkpoint=str(run / "checkpoints/30")).step == 30
    assert Translator.load(run, checkpoint="10").translate(lines[:8]) != translator.translate(lines[:8])


def test_json_holds_the_n_best_translations_with_their_scores(run, translator, lines, monkeypatch, capsysbinary):
    command([run, "--json", "--n-best", "3"], monkeypatch, stdin="\n".join(["", *lines[:9]]).encode())
    records = [json.loads(line) for line in capsysbinary.readouterr().out.decode().splitlines()]
    assert [record["line"] for record in records] == list(range(1, 11))
    assert [record["translations"][0]["text"] for record in records] == translator.translate(["", *lines[:9]])
    for record in records[1:]:
        ranks = [(not one["is_finished"], -one["score"]) for one in record["translations"]]
        assert len(ranks) == 3
        assert ranks == sorted(ranks)


def test_a_program_on_a_pipe_gives_what_the_library_gives(run, translator, lines):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, str(ROOT / "translate.py"), str(run), "--batch-size", "3"]
    done = subprocess.run(
        arguments, input="\n".join(lines[:5]).encode(), capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode().split("\n")[:-1] == translator.translate(lines[:5])
    failed = subprocess.run([*arguments, "--beam", "0"], input=b"", capture_output=True, env=environment, check=False)
    assert failed.returncode == 2
    assert failed.stdout == b""
    assert failed.stderr.decode() == "error: beam is 0: Input should be greater than or equal to 1\n"


def start(arguments, **pipes) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "translate.py"), *map(str, arguments)], env=environment, **pipes
    )


def saved_lines(journal: Path) -> int:
    return json.loads(journal.read_bytes())["lines"] if journal.exists() else 0


def stop_while_translating(arguments, journal: Path, signal_number: int, *, delay: float = 0.0) -> tuple[int, str]:
    """Starts a translation and sends a signal some time after a chunk is saved: the exit status and what was told."""
    before = saved_lines(journal)
    with start(arguments, stderr=subprocess.PIPE) as process:
        while process.poll() is None and saved_lines(journal) == before:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal_number)
        told = process.communicate(timeout=60)[1].decode()
    return process.returncode, told


@pytest.mark.parametrize(
    ("signal_number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_stopped_translation_goes_on_to_the_same_bytes(run, lines, tmp_path, monkeypatch, signal_number, status):
    source, output, whole = (tmp_path / name for name in ("input", "output", "whole"))
    source.write_text("\n".join(lines * 40), encoding="utf-8")
    arguments = [run, "--input", source, "--beam", "1", "--chunk", "20", "--output"]
    found, told = stop_while_translating([*arguments, output], tmp_path / "output.partial.json", signal_number)
    saved = saved_lines(tmp_path / "output.partial.json")
    assert found == status
    assert 0 < saved < 40 * len(lines)
    assert not output.exists()
    if signal_number != signal.SIGKILL:
        assert f"stopped: {tmp_path}/output.partial has {saved} lines; the same command goes on from there" in told
    searched = []
    search_chunk = Translator.search_chunk
    monkeypatch.setattr(Translator, "search_chunk", lambda *_, **__: searched.append(_[1]) or search_chunk(*_, **__))
    command([*arguments, output], monkeypatch)
    assert sum(map(len, searched)) == 40 * len(lines) - saved
    command([*arguments, whole], monkeypatch)
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "output", "whole"]


@pytest.mark.slow
def test_a_translation_killed_twenty_times_ends_with_the_same_bytes(run, lines, tmp_path, monkeypatch):
    source, output, whole = (tmp_path / name for name in ("input", "output", "whole"))
    source.write_text("\n".join(lines * 200), encoding="utf-8")
    arguments = [run, "--input", source, "--beam", "1", "--chunk", "20", "--output"]
    generator = np.random.default_rng(3)
    for _ in range(20):
        stop_while_translating(
            [*arguments, output], tmp_path / "output.partial.json", signal.SIGKILL, delay=generator.uniform(0, 0.3)
        )
        assert not output.exists()
    command([*arguments, output], monkeypatch)
    command([*arguments, whole], monkeypatch)
    assert output.read_bytes() == whole.read_bytes()


def test_lines_of_a_pipe_come_out_as_they_go_in_and_a_signal_ends_the_wait_for_more(run, translator):
    with start([run, "--chunk", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for line in ("abc", "de f"):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().decode() == translator.translate([line])[0] + "\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert process.stdout.read() == b""


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_shards_one_after_the_other_are_the_whole(run, lines, tmp_path, monkeypatch, suffix):
    content = "\n".join([*lines[:10], "", lines[11] * 20]).encode()
    source, output = tmp_path / f"input{suffix}", tmp_path / "output"
    source.write_bytes(gzip.compress(content) if suffix else content)
    arguments = [run, "--input", source, "--json", "--output", output]
    command(arguments, monkeypatch)
    for index in (1, 2, 3):
        command([*arguments, "--shard", f"{index}/3"], monkeypatch)
    parts = [path.read_bytes() for path in sorted(tmp_path.glob("output.*-of-3"))]
    assert [part.count(b"\n") for part in parts] == [4, 4, 4]
    assert b"".join(parts) == output.read_bytes()


def test_another_model_option_or_input_is_refused_where_a_file_was_begun(run, lines, tmp_path, monkeypatch):
    source, output = tmp_path / "input", tmp_path / "output"
    source.write_text("\n".join(lines), encoding="utf-8")
    arguments = [run, "--input", source, "--output", output, "--chunk", "8"]
    search_chunk, calls = Translator.search_chunk, iter(range(99))
    with monkeypatch.context() as patch:

        def stopping(*arguments, **options):
            if next(calls) < 2:
                return search_chunk(*arguments, **options)
            raise Interrupted

        patch.setattr(Translator, "search_chunk", stopping)
        command(arguments, monkeypatch)
    assert saved_lines(tmp_path / "output.partial.json") == 16
    for more, message in [
        (["--beam", "2"], "begun with beam 4, and now it is 2: give the same as before, or start afresh with"),
        (["--json"], "begun with --json False, and now it is True"),
        (["--checkpoint", "30"], "begun with parameters [0-9a-f]{64}, and now it is [0-9a-f]{64}"),
    ]:
        with pytest.raises(InputError, match=message):
            command([*arguments, *more], monkeypatch)
    source.write_text("\n".join([*lines[:7], "another", *lines[8:]]), encoding="utf-8")
    with pytest.raises(InputError, match="its first 16 lines are not those that were translated before: put the same"):
        command(arguments, monkeypatch)
    assert not output.exists()
    command([*arguments, "--restart", "--batch-size", "3"], monkeypatch)
    command([run, "--input", source, "--output", tmp_path / "whole"], monkeypatch)
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()


def test_an_output_file_is_replaced_only_when_complete(run, tmp_path, monkeypatch):
    output = tmp_path / "output"
    output.write_text("before")
    monkeypatch.setattr(Translator, "search_chunk", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        command([run, "--output", output], monkeypatch, stdin=b"abc\n")
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--n-best", "3"], b"", "--n-best 3 needs --json: plain output is one line for each input line"),
        (["--n-best", "9", "--json"], b"", "n-best is 9 with a beam of 4: expected 1 to 4; raise the beam for more"),
        (["--length-penalty", "-1"], b"", "length-penalty is -1.0: Input should be greater than or equal to 0"),
        (["--batch-size", "-1"], b"", "--batch-size is -1: expected 1 or more"),
        (["--chunk", "0"], b"", "--chunk is 0: expected 1 or more"),
        (["--restart"], b"", "--restart needs --output FILE: only a file is gone on with"),
        (["--shard", "1/2"], b"", "--shard 1/2 needs --input FILE: standard input can be read by one program only"),
        (["--shard", "3/2", "--input", "-"], b"", "--shard is 3/2: expected a part and how many there are, 1/4 to 4/4"),
        (["--checkpoint", "11"], b"", "no checkpoint '11': expected best, 10, 20, 30, or a path"),
        (["--checkpoint", "average"], b"", "no checkpoint 'average': expected best, 10, 20, 30, or a path"),
        ([], b"abc\n\xff\n", "standard input, line 2: not UTF-8"),
        (["--output", "/no/such/directory/output"], b"", "/no/such/directory/output: cannot be written: No such file"),
        (["--output", "."], b"", "cannot be written: Is a directory"),
    ],
)
def test_bad_input_is_told_in_one_line(run, monkeypatch, arguments, stdin, message):
    with pytest.raises(InputError, match=message):
        command([run, *arguments], monkeypatch, stdin=stdin)


def test_what_is_no_run_is_refused(tmp_path, run):
    with pytest.raises(InputError, match="none: no such run directory"):
        Translator.load(tmp_path / "none")
    with pytest.raises(InputError, match=r"not a run: it holds no config\.toml"):
        Translator.load(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.toml").write_bytes((run / "config.toml").read_bytes())
    with pytest.raises(InputError, match=r"bare: no checkpoint yet: train\.py saves the first after"):
        Translator.load(bare)
    with pytest.raises(InputError, match="no checkpoint '7': expected best, and none is saved yet, or a path"):
        Translator.load(bare, checkpoint="7")


def test_a_damaged_best_checkpoint_is_refused_and_another_can_be_asked_for(tmp_path):
    run = make_run(tmp_path / "run", bleu={1: 1.0, 2: 5.0})
    victim = max(
        (path for path in (run / "checkpoints/2").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"damaged: .*: restore it, or choose another with --checkpoint$"):
        Translator.load(run)
    assert Translator.load(run, checkpoint="1").step == 1


def test_another_tokenizer_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    other = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"vocabulary_size": 300})})
    (run / "tokenizer.model").write_bytes((make_run(tmp_path / "other", other) / "tokenizer.model").read_bytes())
    with pytest.raises(InputError, match="was made with another tokenizer"):
        Translator.load(run)


def test_unknown_is_never_written(translator, lines):
    rows = search_sentences(
        translator.model,
        list(map(Request, translator.tokenizer.encode_source(lines))),
        decoding=CONFIG.decoding,
        maximum_length=48,
    )
    assert not any(UNK in row.tokens for _, found in rows for hypotheses in found for row in hypotheses)


# --- what outputs must have and must not ------------------------------------------------------------------------------


def changed(run: Path, decoding: dict, **options) -> Translator:
    return Translator.load(run, decoding=decoding, **options)


def test_outputs_begin_with_their_prefixes_and_blank_ones_ask_for_nothing(
    run, translator, lines, tmp_path, capsysbinary
):
    expected = [found[0].text for found in translator.search(lines[:4])]
    prefixes = [expected[1][:3], "", expected[3][:2], ""]
    path = tmp_path / "prefixes"
    path.write_text("".join(prefix + "\n" for prefix in prefixes))
    source = tmp_path / "source"
    source.write_text("".join(line + "\n" for line in lines[:4]))
    program.main([str(run), "--input", str(source), "--prefix", str(path)])
    found = capsysbinary.readouterr().out.decode().split("\n")[:-1]
    for text, prefix, plain in zip(found, prefixes, expected, strict=True):
        assert text.startswith(prefix) if prefix else text == plain


def test_banned_words_are_not_written_in_any_spelling(run, translator, lines):
    plain = [found[0].text for found in translator.search(lines[:8])]
    word = plain[0].split()[0]
    careful = Translator.load(run, demands=Demands(banned=(word,)))
    found = [found[0].text for found in careful.search(lines[:8])]
    assert any(word in text.split() for text in plain)
    assert not any(word in text.split() for text in found)
    with pytest.raises(InputError, match="banned word '狗' cannot be written with this vocabulary: leave it out"):
        Translator.load(run, demands=Demands(banned=("狗",)))


def test_terms_are_met_and_counted(run, translator, lines, monkeypatch, capsysbinary, tmp_path):
    wanted = next(word for text in translator.translate(lines) for word in text.split())[:4]
    path = tmp_path / "terms"
    path.write_text(f"{lines[0].split()[0]}\t{wanted}\n")
    command([run, "--terms", path], monkeypatch, stdin="\n".join(lines[:3]).encode())
    captured = capsysbinary.readouterr()
    assert wanted in captured.out.decode().split("\n")[0]
    assert b"terms: " in captured.err
    assert b"(100.0%)" in captured.err


def test_samples_belong_to_the_line_number_and_the_seed(run, lines):
    sampling = changed(run, {"sampling": True, "beam": 4, "seed": 3}, n_best=4)
    expected = sampling.search(lines[:9])
    assert sampling.search(lines[:9], batch_size=2) == expected
    assert len({one.text for one in expected[0]}) > 1
    other = changed(run, {"sampling": True, "beam": 4, "seed": 4}, n_best=4)
    assert other.search(lines[:9]) != expected


def test_the_consensus_of_a_beam_is_one_of_its_hypotheses(run, lines):
    beam = Translator.load(run, n_best=4).search(lines[:6])
    chosen = Translator.load(run, demands=Demands(mbr=True)).search(lines[:6])
    assert all(one[0].text in {found.text for found in four} for one, four in zip(chosen, beam, strict=True))


def test_a_model_votes_with_itself_as_it_does_alone_and_with_another_differently(run, translator, lines):
    expected = translator.translate(lines[:8])
    assert Translator.load(run, ensemble=[run]).translate(lines[:8]) == expected
    assert Translator.load(run, ensemble=[run / "checkpoints" / "10"]).translate(lines[:8]) != expected


def test_a_model_of_another_vocabulary_cannot_vote(run, tmp_path):
    other = make_run(
        tmp_path / "other", CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"vocabulary_size": 300})})
    )
    with pytest.raises(InputError, match=r"other has another vocabulary than .*: an ensemble needs one and the same"):
        Translator.load(run, ensemble=[other])


def test_given_translations_are_scored_by_the_forced_decoder(
    run, translator, lines, monkeypatch, capsysbinary, tmp_path
):
    given = [*lines[3:6], ""]
    path = tmp_path / "translations"
    path.write_text("".join(text + "\n" for text in given))
    command([run, "--score", path], monkeypatch, stdin="".join(line + "\n" for line in lines[:4]).encode())
    scores = list(map(float, capsysbinary.readouterr().out.split()))
    tokenizer = translator.tokenizer
    pairs = zip(tokenizer.encode_source(lines[:4]), tokenizer.encode_target(given), strict=True)
    expected = [
        forced_log_probability(translator.graph, translator.parameters, source, Hypothesis(target, 0.0, 0.0, True))
        for source, target in pairs
    ]
    assert scores == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("content", "message"), [("a\n", "fewer than"), ("a\nb\nc\n", "has more lines than")])
def test_a_companion_of_another_length_is_refused(run, monkeypatch, capsysbinary, tmp_path, content, message):
    path = tmp_path / "translations"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        command([run, "--score", path], monkeypatch, stdin=b"a\nb\n")


def test_json_tells_of_pieces_words_alignment_and_flags(run, lines, monkeypatch, capsysbinary):
    command([run, "--json"], monkeypatch, stdin=f"{lines[0]}\n\n".encode())
    first, blank = map(json.loads, capsysbinary.readouterr().out.decode().split("\n")[:-1])
    [found], [empty] = first["translations"], blank["translations"]
    assert sum(found["piece_log_probabilities"]) == pytest.approx(found["log_probability"], abs=1e-3)
    assert [one["word"] for one in found["words"]] == found["text"].split()
    assert all(0 <= one["confidence"] <= 1 for one in found["words"])
    assert {target for _, target in found["alignment"]} <= set(range(len(found["words"])))
    assert empty["text"] == ""
    assert empty["alignment"] == empty["pieces"] == []


def test_alignments_stand_behind_the_text(run, translator, lines, monkeypatch, capsysbinary):
    command([run, "--alignments"], monkeypatch, stdin=f"{lines[0]}\n\n".encode())
    aligned, blank, _ = capsysbinary.readouterr().out.decode().split("\n")
    text, links = aligned.split(" ||| ")
    assert text == translator.translate(lines[:1])[0]
    assert all(len(link.split("-")) == 2 for link in links.split())
    assert blank == " |||"


def test_the_guard_counts_and_searches_again(run, monkeypatch, capsysbinary):
    stdin = b"a b c d e f g h\nb c\n"
    for guard in ("count", "again"):
        command([run, "--guard", guard], monkeypatch, stdin=stdin)
        captured = capsysbinary.readouterr()
        assert captured.out.count(b"\n") == 2
        assert b"lines flagged" in captured.err


def test_a_second_search_keeps_to_what_was_demanded_of_the_first(run, lines):
    usual = [found[0].text for found in Translator.load(run).again(lines[:8], first=1)]
    word = usual[0].split()[0]
    sampling = {"sampling": True, "temperature": 0.8, "top_p": 0.9}
    careful = changed(run, sampling, demands=Demands(banned=(word,)))
    assert not any(word in found[0].text.split() for found in careful.again(lines[:8], first=1))
    [[begun]] = Translator.load(run).again(lines[:1], first=1, prefixes=[word])
    assert begun.text.startswith(word)


def test_a_knob_of_decoding_is_heard_and_not_given_twice(run):
    translator = changed(run, {"beam": "3", "length_penalty": "0.5"})
    assert (translator.config.decoding.beam, translator.config.decoding.length_penalty) == (3, 0.5)
    with pytest.raises(InputError, match=r"beam is given twice, as decoding\.beam too: give one of them"):
        changed(run, {"beam": "3"}, beam=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alignments", "--json"], "--alignments with --json: JSON has the alignments already"),
        (["--score", "x", "--mbr"], "--score with --mbr: nothing is searched where translations are given"),
        (["--decoding.temperature", "0.5"], "decoding.temperature is for sampling: set decoding.sampling too"),
        (["--decoding.groups", "3"], "decoding.beam is 4, which does not divide by decoding.groups, 3"),
        (["--decoding.sampling", "true", "--decoding.groups", "2"], "decoding.sampling goes without decoding.groups"),
        (["--decoding.top_p", "1.5", "--decoding.sampling", "true"], "top-p is 1.5: Input should be less than"),
    ],
)
def test_options_that_contradict_each_other_are_refused(run, monkeypatch, capsysbinary, arguments, message):
    with pytest.raises(InputError, match=message):
        command([run, *arguments], monkeypatch, stdin=b"a\n")
