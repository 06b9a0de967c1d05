"""Training that is rejected, or ends, in one line."""

import pytest

from data.errors import InputError
from dragoman.commands import train as train_command
from tests.support.tiny_training import program, write_corpus


def test_diverged_training_is_reported_with_its_step_and_not_saved(recipe, tmp_path):
    options = ["--training.learning_rate", "1e30", "--training.clip", "0", "--training.warmup_steps", "0"]
    with pytest.raises(InputError, match=r"(loss|gradient_norm) is (nan|inf) at step [23]: training has diverged"):
        train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options])
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


BROKEN = [
    ("unknown key", {"width = 16": "widht = 16"}, ["model.widht", "model.width"]),
    ("wrong type", {"width = 16": 'width = "wide"'}, ["model.width"]),
    ("heads", {"heads = 2": "heads = 3"}, ["model.width", "model.heads"]),
    ("negative", {"steps = 20": "steps = -1"}, ["training.steps"]),
    ("dropout", {"dropout = 0.1": "dropout = 1.0"}, ["model.dropout"]),
    ("not a number", {"learning_rate = 0.01": "learning_rate = nan"}, ["training.learning_rate"]),
    ("syntax", {"[model]": "[model"}, ["tiny.toml"]),
    ("unknown section", {"[decoding]": "[decodign]"}, ["decodign"]),
    ("missing directory", {'directory = "': 'directory = "/nowhere'}, ["/nowhere"]),
    ("vocabulary", {"vocabulary_size = 320": "vocabulary_size = 32000"}, ["vocabulary_size"]),
    ("batch", {"batch_tokens = 256": "batch_tokens = 16"}, ["batch_tokens"]),
    ("devices", {"[decoding]": "[devices]\ndata = 64\n[decoding]"}, ["devices.data"]),
    ("language", {"[model]": 'target_language = "german"\n[model]'}, ["data.target_language", "'german'", "mean de?"]),
    ("no test set", {"[model]": 'test = [["none.en", "none.de"]]\n[model]'}, ["none.en"]),
    ("misaligned", {}, ["120", "119"]),
    ("empty", {}, ["train.de"]),
]


@pytest.mark.parametrize(("name", "changes", "expected"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_a_broken_recipe_or_corpus_is_refused_in_one_line_that_names_it(recipe, tmp_path, name, changes, expected):
    text = recipe.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    if name in ("misaligned", "empty"):
        write_corpus(tmp_path)
        lines = (tmp_path / "train.de").read_bytes().split(b"\n")
        (tmp_path / "train.de").write_bytes(b"\n".join(lines[1:]) if name == "misaligned" else b"")
        text = text.replace(str(recipe.parent), str(tmp_path))
    broken = tmp_path / "tiny.toml"
    broken.write_text(text)
    with pytest.raises(InputError) as error:
        train_command.main([str(broken), "--run", str(tmp_path / "run")])
    assert "\n" not in str(error.value)
    for part in expected:
        assert part in str(error.value)


def test_the_program_prints_one_line_and_exits_with_status_2(recipe, tmp_path):
    refused = program("train.py", recipe, "--run", tmp_path / "run", "--model.heads", "3")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "model.heads" in refused.stderr


def test_a_run_that_does_not_exist_needs_a_recipe(tmp_path):
    with pytest.raises(InputError, match="is not a run yet: give a recipe"):
        train_command.main(["--run", str(tmp_path / "none")])
