"""Calls of evaluate.py in this process."""

import json

from jsonschema import Draft202012Validator

import dragoman.commands.evaluate as program
from tests.support.paths import ROOT


def evaluate(*arguments) -> int | None:
    return program.main([str(argument) for argument in arguments])


def scored(tmp_path, *arguments, search=("--beam", "1")) -> dict:
    """The JSON that the command writes, which follows its schema."""
    options = ["--json", tmp_path / "scores.json", "--no-perplexity", "--samples", "50", "--trials", "50"]
    assert evaluate(*arguments, *options, *search, "--metrics", "bleu,chrf") == 0
    found = json.loads((tmp_path / "scores.json").read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text())).validate(found)
    return found
