"""The command line: options from the config, errors in one line, exit statuses."""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from data.errors import InputError
from dragoman.commands.options import ArgumentParser, add_config_options, overrides, run_main
from dragoman.runs.recipe import KNOBS


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser(prog="train.py", description="Train a model.")
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file")
    parser.add_argument("--run", metavar="DIRECTORY", required=True, help="the run directory")
    add_config_options(parser)
    return parser


def test_options_given_are_overrides_and_the_others_are_absent(parser: ArgumentParser) -> None:
    found = parser.parse_args(["x.toml", "--run", "r", "--model.width", "256", "--training.learning_rate=3e-4"])
    assert overrides(found) == {"model.width": "256", "training.learning_rate": "3e-4"}
    assert (found.recipe, found.run) == ("x.toml", "r")


def test_a_renamed_knob_is_accepted_by_its_former_name_which_help_does_not_show(parser: ArgumentParser) -> None:
    found = parser.parse_args(["x.toml", "--run", "r", "--data.maximum_ratio", "3"])
    assert overrides(found) == {"data.maximum_ratio": "3"}
    assert "--data.maximum_side_ratio X" in parser.format_help()
    assert "--data.maximum_ratio" not in parser.format_help()


def test_help_lists_every_knob_with_its_range_and_default_and_keeps_the_usage_short(
    parser: ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = parser.format_help()
    assert text.startswith("usage: train.py [-h] --run DIRECTORY [--SECTION.KEY VALUE ...] RECIPE\n")
    assert all(f"--{key} " in text for key in KNOBS)
    flat = re.sub(r"\s+", " ", text)
    assert "model: The architecture: its sizes, and which variant" in flat
    assert "--model.dropout X dropout rate after the embeddings" in flat
    assert "(at least 0 and below 1, default 0.1)" in flat
    assert "--model.norm layer|rms layer normalisation, or RMSNorm (default layer)" in flat
    assert max(len(line) for line in text.split("\n")) <= 110


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--run", "r", "--model.widht", "3"], "--model.widht: unknown option; did you mean --model.width?"),
        (["x", "--run", "r", "--rum=3"], "--rum: unknown option; did you mean --run?"),
        (["x", "--run", "r", "--zzzzzzz"], "--zzzzzzz: unknown option; see train.py --help"),
        (["x", "--run", "r", "y"], "unexpected argument 'y'; see train.py --help"),
        (["x"], "the following arguments are required: --run"),
        (["x", "--run"], "--run: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line_with_status_2(
    parser: ArgumentParser, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def exit_status(main: Callable[[list[str]], int | None]) -> object:
    with pytest.raises(SystemExit) as caught:
        run_main(main)
    return caught.value.code


def test_a_program_exits_with_the_status_that_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(arguments: list[str]) -> None:
        raise InputError("a\nb \x1b[31m 'c'")

    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    assert exit_status(lambda arguments: None) == 0
    assert exit_status(lambda arguments: 143) == 143
    assert exit_status(interrupted) == 130
    assert capsys.readouterr().err == ""
    assert exit_status(wrong) == 2
    assert capsys.readouterr().err == "error: a b \\x1b[31m 'c'\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = (
        "from dragoman.commands.options import run_main\n"
        "def main(arguments):\n    for _ in range(100000): print('x' * 100)\n"
        "run_main(main)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_knob_of_every_kind_has_a_placeholder(parser: ArgumentParser) -> None:
    kinds = {action.dest: action.metavar for action in parser._actions if isinstance(action, argparse.Action)}
    names = ("model.width", "model.dropout", "data.directory", "data.train", "data.byte_fallback", "model.norm")
    assert [kinds[name] for name in names] == ["N", "X", "TEXT", "LIST", "true|false", "layer|rms"]
