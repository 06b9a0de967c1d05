"""A run made by version 0.1.0 still loads and still gives the same results: see golden/make.sh."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

GOLDEN = ROOT / "tests" / "golden"
EXPECTED = GOLDEN / "expected"

pytestmark = pytest.mark.slow


def program(*arguments) -> None:
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of the run, because programs may write into it."""
    return Path(shutil.copytree(GOLDEN / "run", tmp_path / "run"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("greedy.txt", ["--checkpoint", "600"]),
        ("samples.txt", ["--checkpoint", "600", "--beam", "2", "--decoding.sampling", "true", "--decoding.seed", "7"]),
    ],
)
def test_translations_are_those_of_the_version_that_trained_it(run, tmp_path, name, options):
    program("translate.py", run, "--input", EXPECTED / "source.txt", "--output", tmp_path / name, *options)
    assert (tmp_path / name).read_bytes() == (EXPECTED / name).read_bytes()


def test_scores_pieces_confidences_and_alignments_of_n_best_lists_are_those_of_then(run, tmp_path):
    options = ["--checkpoint", "average", "--beam", "4", "--n-best", "2", "--json"]
    program("translate.py", run, "--input", EXPECTED / "source.txt", "--output", tmp_path / "beam.jsonl", *options)
    found, expected = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        for path in (tmp_path / "beam.jsonl", EXPECTED / "beam.jsonl")
    )
    assert len(found) == len(expected) == 24
    for now, then in zip(found, expected, strict=True):
        for new, old in zip(now["translations"], then["translations"], strict=True):
            assert new.keys() >= old.keys()
            for key in ("text", "pieces", "alignment", "tokens", "is_finished", "parts", "flags"):
                assert new[key] == old[key]
            for key in ("log_probability", "score", "piece_log_probabilities"):
                assert new[key] == pytest.approx(old[key], abs=1e-4)
            assert [word["word"] for word in new["words"]] == [word["word"] for word in old["words"]]
            confidences = [[word["confidence"] for word in one["words"]] for one in (new, old)]
            assert confidences[0] == pytest.approx(confidences[1], abs=1e-4)


def test_the_test_set_has_the_scores_of_then(run, tmp_path):
    program("evaluate.py", run, "--json", tmp_path / "scores.json")
    paths = (tmp_path / "scores.json", EXPECTED / "scores.json")
    [now], [then] = (json.loads(path.read_bytes())["results"] for path in paths)
    assert now.keys() >= then.keys()
    for key in ("step", "checkpoint", "test_set", "sentences", "beam", "length_penalty"):
        assert now[key] == then[key]
    for metric in ("bleu", "chrf", "ter"):
        assert now[metric]["score"] == pytest.approx(then[metric]["score"], abs=0.05)
        assert now[metric]["signature"] == then[metric]["signature"]


def test_training_resumes_from_it_as_it_did_then(run):
    program("train.py", "--run", run, "--training.steps", "620", "--training.log_every", "10")
    now = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[-4:-1]]
    then = [json.loads(line) for line in (EXPECTED / "resumed.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [line["step"] for line in now] == [line["step"] for line in then] == [610, 620, 620]
    for new, old in zip(now[:2], then[:2], strict=True):
        assert new.keys() >= old.keys()
        for key in ("loss", "learning_rate", "gradient_norm", "padding"):
            assert new[key] == pytest.approx(old[key], rel=1e-3)
    assert now[2].keys() >= then[2].keys()
    assert now[2]["loss"] == pytest.approx(then[2]["loss"], rel=1e-3)
    assert now[2]["chrf"] == pytest.approx(then[2]["chrf"], abs=2.0)


def test_its_export_holds_the_same_arrays_under_the_same_names(run, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    program("-m", "dragoman", "export", run, tmp_path / "export", "--format", "safetensors", "--checkpoint", "600")
    arrays = numpy.load_file(tmp_path / "export" / "model.safetensors")
    found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    assert found == json.loads((EXPECTED / "export.json").read_bytes())
