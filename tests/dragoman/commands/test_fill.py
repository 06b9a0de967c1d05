"""A denoising encoder as a user has it: trained, resumed, filled with, refused for translating, started from."""

import json

import pytest

from data.errors import InputError
from dragoman.commands import fill as fill_command
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.tiny_training import fingerprints, program

OPTIONS = ["--model.assembly", "denoising_encoder", "--data.denoise_whole_words", "true"]


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory) -> Run:
    path = tmp_path_factory.mktemp("denoising") / "run"
    done = program("train.py", recipe, "--run", path, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "texts restored after 15% of them was masked:" in done.stdout
    return Run(path)


def test_it_is_validated_by_what_it_restores(trained):
    validations = [record for record in trained.read_metrics() if "bleu" in record]
    assert [record["step"] for record in validations] == [8, 16, 20]
    assert validations[-1]["loss"] < validations[0]["loss"]
    assert "average" in fingerprints(trained)


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_with_the_same_parameters(trained, recipe, tmp_path):
    run = Run(tmp_path / "resumed")
    assert program("train.py", recipe, "--run", run.path, *OPTIONS, "--training.steps", "8").returncode == 0
    assert program("train.py", recipe, "--run", run.path, *OPTIONS).returncode == 0
    assert fingerprints(run)["20"] == fingerprints(trained)["20"]


def test_fill_prints_the_likeliest_words_and_writes_them_as_json(trained, tmp_path, capsys):
    command = [str(trained.path), "one [MASK] house", "--top", "3", "--json", str(tmp_path / "fill.json")]
    assert fill_command.main(command) == 0
    text, *lines = capsys.readouterr().out.split("\n")[:-1]
    record = json.loads((tmp_path / "fill.json").read_bytes())
    assert record["text"] == text
    [candidates] = record["candidates"]
    assert [line.split() for line in lines] == [[f"{one['probability']:.4f}", one["word"]] for one in candidates]
    assert len(candidates) == 3
    with pytest.raises(InputError, match="--top is -1: expected 0 or more"):
        fill_command.main([*command[:2], "--top", "-1"])


def test_a_part_of_the_run_is_not_overwritten(trained, tmp_path):
    config = trained.config_path.read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--json .* would overwrite .*config\.toml, a part of the run"):
        fill_command.main([str(trained.path), "one [MASK]", "--json", str(trained.config_path)])
    with pytest.raises(InputError, match=r"x\.json: cannot be written: (File exists|Not a directory)"):
        fill_command.main([str(trained.path), "one [MASK]", "--json", str(tmp_path / "file/x.json")])
    assert trained.config_path.read_bytes() == config


def test_it_is_refused_where_a_translation_is_wanted(trained):
    with pytest.raises(InputError, match=f'^{trained.path}: model.assembly is "denoising_encoder", which writes no tr'):
        Translator.load(trained.path)


@pytest.mark.slow
def test_an_encoder_decoder_starts_with_it(trained, recipe, tmp_path):
    done = program(
        "train.py", recipe, "--run", tmp_path / "run", "--model.start_encoder", trained.path, "--training.steps", "4"
    )
    assert done.returncode == 0, done.stderr
    assert f"model.start_encoder: 1 layers and the embeddings of {trained.path}, checkpoint " in done.stdout
