import json

import pytest

from data.errors import InputError
from dragoman.commands.prepare import main


def test_it_reports_on_standard_output_and_in_a_file(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\ncorpus = "toy"\ntoy_pairs = 300\nvocabulary_size = 15\nbyte_fallback = false\n')
    options = ["--data.toy_symbols", "5", "--data.cache", str(tmp_path / "cache"), "--json", str(tmp_path / "out.json")]
    assert main([str(recipe), *options]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["corpora"][0]["pairs"] == 300
    assert found["cache"]["directory"] == str(tmp_path / "cache")
    output = capsys.readouterr().out
    assert "300 pairs" in output
    assert f"train:  dragoman train {recipe}" in output


def test_a_missing_text_is_one_line(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(InputError, match=r"no train\.en"):
        main([str(tmp_path / "recipe.toml"), "--data.directory", str(tmp_path)])
