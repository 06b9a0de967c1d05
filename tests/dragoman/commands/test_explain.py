"""The command prints a summary and writes the page and the numbers."""

import json
import shutil

import pytest

from data.errors import InputError
from dragoman.commands import explain
from tests.support.paths import ROOT


def test_it_prints_the_translation_and_the_heads_and_writes_the_numbers(tmp_path, capsys):
    run = shutil.copytree(ROOT / "tests" / "golden" / "run", tmp_path / "run")
    numbers = tmp_path / "numbers.json"
    command = [str(run), "e e a b c", "--reference", "c b a e e", "--beam", "4", "--json", str(numbers)]
    command += ["--output", str(tmp_path / "page.html")]
    assert explain.main(command) == 0
    first, *lines = capsys.readouterr().out.split("\n")[:-1]
    record = json.loads(numbers.read_bytes())
    assert first == record["translation"]
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "pieces: ▁e ▁e ▁a ▁b ▁c </s>" in lines
    assert any(line.startswith("decoder, attention to the source, layer 1: heads ") for line in lines)
    assert lines[-1].startswith("loss of the reference: ")
    with pytest.raises(InputError, match=r"^--output .* would overwrite .*, a part of the run"):
        explain.main([str(run), "a", "--output", str(run / "config.toml")])
    with pytest.raises(InputError, match="--reference is blank"):
        explain.main([str(run), "a", "--reference", " "])
