"""The choice of the checkpoint, and errors in one line."""

import pytest

from data.errors import InputError
from dragoman.translation.translator import Translator
from tests.support.tiny_run import CONFIG, make_run


def test_the_default_checkpoint_is_the_one_of_best_validation_bleu(run, translator, lines):
    assert translator.step == 20
    assert Translator.load(run / "checkpoints" / "20").translate(lines[:8]) == translator.translate(lines[:8])
    assert Translator.load(run, checkpoint=str(run / "checkpoints/30")).step == 30
    assert Translator.load(run, checkpoint="10").translate(lines[:8]) != translator.translate(lines[:8])


def test_a_checkpoint_with_another_checkpoint_is_refused(run, command):
    with pytest.raises(
        InputError, match="checkpoints/10 is a checkpoint, and checkpoint '99999' is requested too: name"
    ):
        command([run / "checkpoints/10", "--checkpoint", "99999"], stdin=b"a\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--n-best", "3"], b"", "--n-best 3 needs --json: plain output is one line for each input line"),
        (["--n-best", "9", "--json"], b"", "n-best is 9 with a beam of 4: expected 1 to 4; raise the beam for more"),
        (
            ["--length-penalty", "-1"],
            b"",
            r"decoding\.length_penalty must be a number, at least 0 and at most 10, found -1\.0",
        ),
        (["--batch-size", "-1"], b"", "--batch-size is -1: expected 1 or more"),
        (["--chunk", "0"], b"", "--chunk is 0: expected 1 or more"),
        (["--restart"], b"", "--restart needs --output FILE: output to stdout cannot be resumed"),
        (["--shard", "1/2"], b"", "--shard 1/2 needs --input FILE: standard input can be read by one program only"),
        (
            ["--shard", "3/2", "--input", "-"],
            b"",
            "--shard is 3/2: expected a part and the number of parts, 1/4 to 4/4",
        ),
        (["--output", "a.gz", "--shard", "1/2", "--input", "-"], b"", r"--output a\.gz would be plain text in a file"),
        (["--checkpoint", "11"], b"", "no checkpoint '11': expected best, 10, 20, 30, or a path"),
        (["--checkpoint", "average"], b"", "no checkpoint 'average': expected best, 10, 20, 30, or a path"),
        ([], b"\xff\n", "standard input, line 1: not UTF-8"),
        (["--output", "/no/such/directory/output"], b"", "/no/such/directory/output: cannot be written: No such file"),
        (["--output", "."], b"", "cannot be written: Is a directory"),
    ],
)
def test_bad_input_is_reported_in_one_line(run, command, arguments, stdin, message):
    with pytest.raises(InputError, match=message):
        command([run, *arguments], stdin=stdin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alignments", "--json"], "--alignments with --json: the JSON already has the alignments"),
        (["--score", "x", "--mbr"], "--score with --mbr: nothing is searched when translations are given"),
        (["--score", "x", "--beam", "3"], "--score with --beam: nothing is searched when translations are given"),
        (["--score", "x", "--json", "--n-best", "3"], "--score with --n-best: nothing is searched when translations"),
        (["--score", "x", "--decoding.unrepeated", "3"], r"--score with --decoding\.unrepeated: nothing is searched"),
        (["--decoding.temperature", "0.5"], "decoding.temperature is for sampling: set decoding.sampling too"),
        (["--decoding.groups", "3"], "decoding.beam is 4, which is not divisible by decoding.groups, 3"),
        (["--decoding.sampling", "true", "--decoding.groups", "2"], "decoding.sampling cannot be combined with"),
        (
            ["--decoding.top_p", "1.5", "--decoding.sampling", "true"],
            r"decoding\.top_p must be a number, above 0 and at most 1, found 1\.5",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(run, command, capsysbinary, arguments, message):
    with pytest.raises(InputError, match=message):
        command([run, *arguments], stdin=b"a\n")


def test_a_directory_that_is_not_a_run_is_rejected(tmp_path, run):
    with pytest.raises(InputError, match="none: no such run directory"):
        Translator.load(tmp_path / "none")
    with pytest.raises(InputError, match=r"not a run: it holds no config\.toml"):
        Translator.load(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.toml").write_bytes((run / "config.toml").read_bytes())
    with pytest.raises(InputError, match=r"bare: no checkpoint yet: training saves the first after"):
        Translator.load(bare)
    with pytest.raises(InputError, match="no checkpoint '7': expected best, and none is saved yet, or a path"):
        Translator.load(bare, checkpoint="7")


def test_a_damaged_best_checkpoint_is_an_error_and_another_can_be_requested(tmp_path):
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
