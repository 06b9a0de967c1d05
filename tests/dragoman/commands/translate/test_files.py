"""Pipes, outputs that resume after any interruption, and parts of a text for several processes."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from dragoman.commands.translation_options import parse_translation_options
from dragoman.signals import Interrupted
from dragoman.translation.translator import Translator
from tests.dragoman.commands.test_processes import free_port
from tests.support.paths import ROOT


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
    assert (
        failed.stderr.decode() == "error: decoding.beam must be a whole number, at least 1 and at most 10000, found 0\n"
    )


def start(arguments, **pipes) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "translate.py"), *map(str, arguments)], env=environment, **pipes
    )


def saved_lines(journal: Path) -> int:
    return json.loads(journal.read_bytes())["lines"] if journal.exists() else 0


def stop_while_translating(arguments, journal: Path, signal_number: int, *, delay: float = 0.0) -> tuple[int, str]:
    """Starts a translation and sends a signal some time after a chunk is saved; returns the exit status and stderr."""
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
def test_a_stopped_translation_resumes_to_the_same_bytes(
    run, lines, tmp_path, signal_number, status, command, monkeypatch
):
    source, output, whole = (tmp_path / name for name in ("input", "output", "whole"))
    source.write_text("\n".join(lines * 40), encoding="utf-8")
    arguments = [run, "--input", source, "--beam", "1", "--chunk", "20", "--output"]
    found, told = stop_while_translating([*arguments, output], tmp_path / "output.partial.json", signal_number)
    saved = saved_lines(tmp_path / "output.partial.json")
    assert found == status
    assert 0 < saved < 40 * len(lines)
    assert not output.exists()
    if signal_number != signal.SIGKILL:
        assert f"stopped: {tmp_path}/output.partial has {saved} lines; run the same command to resume" in told
    searched = []
    search_chunk = Translator.search_chunk
    monkeypatch.setattr(Translator, "search_chunk", lambda *_, **__: searched.append(_[1]) or search_chunk(*_, **__))
    command([*arguments, output])
    assert sum(map(len, searched)) == 40 * len(lines) - saved
    command([*arguments, whole])
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "output", "whole"]


@pytest.mark.exhaustive
def test_a_translation_killed_twenty_times_ends_with_the_same_bytes(run, lines, tmp_path, command):
    source, output, whole = (tmp_path / name for name in ("input", "output", "whole"))
    source.write_text("\n".join(lines * 200), encoding="utf-8")
    arguments = [run, "--input", source, "--beam", "1", "--chunk", "20", "--output"]
    generator = np.random.default_rng(3)
    for _ in range(20):
        stop_while_translating(
            [*arguments, output], tmp_path / "output.partial.json", signal.SIGKILL, delay=generator.uniform(0, 0.3)
        )
        assert not output.exists()
    command([*arguments, output])
    command([*arguments, whole])
    assert output.read_bytes() == whole.read_bytes()


def test_lines_of_a_pipe_are_answered_at_once_and_a_signal_ends_the_wait_for_more(run, translator):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with start([run], **pipes) as process:
        for line in ("abc", "de f"):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().decode() == translator.translate([line])[0] + "\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert process.stdout.read() == b""
        hint = b"stopped: standard output has 2 lines, which cannot be resumed: with --output FILE, the same command"
        assert hint in process.stderr.read()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_shards_one_after_the_other_are_the_whole(run, lines, tmp_path, suffix, command):
    content = "\n".join([*lines[:10], "", lines[11] * 20]).encode()
    source, output = tmp_path / f"input{suffix}", tmp_path / "output"
    source.write_bytes(gzip.compress(content) if suffix else content)
    arguments = [run, "--input", source, "--json", "--output", output]
    command(arguments)
    for index in (1, 2, 3):
        command([*arguments, "--shard", f"{index}/3"])
    parts = [path.read_bytes() for path in sorted(tmp_path.glob("output.*-of-3"))]
    assert [part.count(b"\n") for part in parts] == [4, 4, 4]
    assert b"".join(parts) == output.read_bytes()


@pytest.mark.parametrize("option", ["--prefix", "--score"])
def test_shards_with_a_companion_are_the_whole_and_one_that_is_too_long_is_refused(
    run, lines, tmp_path, command, option
):
    source, beside, output = tmp_path / "input", tmp_path / "beside", tmp_path / "output"
    source.write_text("\n".join(lines[:5]), encoding="utf-8")
    beside.write_text("a\nb\n\nc\nd\n", encoding="utf-8")
    arguments = [run, "--input", source, option, beside, "--output", output, "--chunk", "2"]
    command(arguments)
    for index in (1, 2):
        command([*arguments, "--shard", f"{index}/2"])
    parts = [path.read_bytes() for path in sorted(tmp_path.glob("output.*-of-2"))]
    assert b"".join(parts) == output.read_bytes()
    beside.write_text("a\nb\n\nc\nd\ne\n", encoding="utf-8")
    with pytest.raises(InputError, match="has more lines than the 5"):
        command([*arguments, "--shard", "2/2", "--restart"])


def stopped_after(chunks: int, monkeypatch, command, arguments) -> None:
    """Runs a translation that is interrupted after this many chunks."""
    search_chunk, calls = Translator.search_chunk, iter(range(99))

    def stopping(*arguments, **options):
        if next(calls) < chunks:
            return search_chunk(*arguments, **options)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "search_chunk", stopping)
        command(arguments)


def test_a_renamed_word_list_is_the_same_and_an_edited_one_is_not(run, lines, tmp_path, command, monkeypatch):
    source, output, words, renamed = (tmp_path / name for name in ("input", "output", "words", "renamed"))
    source.write_text("\n".join(lines[:16]), encoding="utf-8")
    words.write_text("ab\n", encoding="utf-8")
    arguments = [run, "--input", source, "--output", output, "--chunk", "8", "--banned"]
    stopped_after(1, monkeypatch, command, [*arguments, words])
    words.rename(renamed)
    renamed.write_text("abc\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"begun with --banned SHA-256 [0-9a-f]{64}, and now it is SHA-256"):
        command([*arguments, renamed])
    renamed.write_text("ab\n", encoding="utf-8")
    command([*arguments, renamed])
    assert output.read_bytes().count(b"\n") == 16


def test_every_option_says_how_it_enters_the_identity_of_an_output():
    options = parse_translation_options(["run"], chunk=1)
    undeclared = {name for name in vars(options) if "." not in name} - options.identity.keys()
    assert undeclared == {"identity", "coordinator", "processes", "process"}


def test_a_partial_output_is_not_resumed_with_another_model_option_or_input(run, lines, tmp_path, command, monkeypatch):
    source, output = tmp_path / "input", tmp_path / "output"
    source.write_text("\n".join(lines), encoding="utf-8")
    arguments = [run, "--input", source, "--output", output, "--chunk", "8"]
    stopped_after(2, monkeypatch, command, arguments)
    assert saved_lines(tmp_path / "output.partial.json") == 16
    for more, message in [
        (["--beam", "2"], "begun with beam 4, and now it is 2: give the same as before, or start again with"),
        (["--json"], "begun with --json False, and now it is True"),
        (["--checkpoint", "30"], "begun with parameters [0-9a-f]{64}, and now it is [0-9a-f]{64}"),
    ]:
        with pytest.raises(InputError, match=message):
            command([*arguments, *more])
    source.write_text("\n".join([*lines[:7], "another", *lines[8:]]), encoding="utf-8")
    with pytest.raises(InputError, match="its first 16 lines are not those that were translated before: put the same"):
        command(arguments)
    assert not output.exists()
    command([*arguments, "--restart", "--batch-size", "3"])
    command([run, "--input", source, "--output", tmp_path / "whole"])
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()


def test_an_output_file_is_replaced_only_when_complete(run, tmp_path, command, monkeypatch):
    output = tmp_path / "output"
    output.write_text("before")
    monkeypatch.setattr(Translator, "search_chunk", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        command([run, "--output", output], stdin=b"abc\n")
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.slow
def test_the_processes_of_a_job_divide_a_text_and_finish_independently(run, lines, tmp_path, command):
    source, output, whole = (tmp_path / name for name in ("input", "output", "whole"))
    source.write_text("\n".join(lines * 40), encoding="utf-8")
    arguments = [run, "--input", source, "--beam", "1", "--chunk", "20", "--output"]
    address = f"127.0.0.1:{free_port()}"
    job = [*arguments, output, "--coordinator", address, "--processes", "2", "--process"]
    with start([*job, "0"], stderr=subprocess.PIPE) as first:
        found, _ = stop_while_translating([*job, "1"], tmp_path / "output.2-of-2.partial.json", signal.SIGKILL)
        assert (found, first.wait(timeout=60)) == (-signal.SIGKILL, 0), first.stderr.read().decode()
    assert not (tmp_path / "output.2-of-2").exists()
    command([*arguments, output, "--shard", "2/2"])
    command([*arguments, whole])
    assert b"".join((tmp_path / f"output.{part}-of-2").read_bytes() for part in (1, 2)) == whole.read_bytes()
