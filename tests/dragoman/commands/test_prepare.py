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


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("recipe.toml", "the recipe"),
        ("w.jsonl", r"data\.train"),
        ("valid.en", r"data\.validation"),
        ("test.de", r"data\.test"),
        ("spm.model", r"data\.tokenizer"),
    ],
)
def test_what_is_read_is_not_overwritten(tmp_path, written, named):
    (tmp_path / "recipe.toml").write_text(f'[data]\ndirectory = "{tmp_path}"\ntokenizer = "{tmp_path}/spm.model"\n')
    for name in ("w.jsonl", "valid.en", "valid.de", "test.en", "test.de", "spm.model"):
        (tmp_path / name).write_text("text\n")
    options = ["--data.train", '[["w.jsonl"]]', "--json", str(tmp_path / written)]
    with pytest.raises(InputError, match=rf"^--json .*{written} would overwrite the file of {named}: choose another"):
        main([str(tmp_path / "recipe.toml"), *options])


def test_a_report_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(InputError, match=r"x\.json: cannot be written: (File exists|Not a directory)"):
        main([str(tmp_path / "recipe.toml"), "--json", str(tmp_path / "recipe.toml" / "x.json")])


def test_a_language_that_training_would_refuse_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text('[data]\nsource_language = "english"\n')
    with pytest.raises(InputError, match=r"data\.source_language is 'english', not .* \(did you mean en\?\)"):
        main([str(tmp_path / "recipe.toml"), "--data.directory", str(tmp_path)])
