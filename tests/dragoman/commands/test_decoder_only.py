"""A decoder-only run in the three programs: trained, killed and resumed, translated, aligned and exported."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from dragoman.commands import export as export_command
from dragoman.commands import generate as generate_command
from dragoman.exchange.safetensors_file import flatten, read_safetensors
from dragoman.runs.run import Run
from dragoman.translation.translator import Translator
from tests.support.tiny_run import CONFIG, make_run
from tests.support.tiny_training import fingerprints, program, start, wait_for

KNOBS = {"model.assembly": "decoder_only", "model.source_attention": "causal", "training.objective": "both_sides"}
OPTIONS = [text for name, value in KNOBS.items() for text in (f"--{name}", value)]
LINES = ["a b c d", "x y", "", "q w e r t y u i o p a s d f"]


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory) -> Run:
    path = tmp_path_factory.mktemp("decoder_only") / "run"
    done = program("train.py", recipe, "--run", path, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return Run(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of random weights, whose outputs are longer than those of the few updates of `trained`."""
    config = CONFIG.with_model({"assembly": "decoder_only", "source_attention": "causal"})
    return make_run(tmp_path_factory.mktemp("random") / "run", config, ends=1.5)


@pytest.fixture(scope="module")
def translator(run) -> Iterator[Translator]:
    """A translator that searches on two of the eight devices, because each adds work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda: jax.devices()[:2])
        yield Translator.load(run)


def test_the_loss_of_the_source_is_logged_and_falls(trained):
    losses = [(line["source_loss"], line["loss"]) for line in trained.read_metrics() if "learning_rate" in line]
    assert losses[-1][0] < losses[0][0]
    assert all(source < both for source, both in losses)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_parameters(trained, recipe, tmp_path):
    run = Run(tmp_path / "killed")
    process = start(recipe, run.path, *OPTIONS)
    wait_for(run.checkpoints / "8", process)
    process.kill()
    process.communicate()
    assert program("train.py", recipe, "--run", run.path, *OPTIONS).returncode == 0
    assert fingerprints(run)["20"] == fingerprints(trained)["20"]


def test_a_line_has_the_same_translation_alone_and_among_others(translator):
    together = translator.search(LINES)
    for line, ranks in zip(LINES, together, strict=True):
        assert translator.search([line]) == [ranks]
    assert [bool(ranks[0].text) for ranks in together] == [True, True, False, True]


def test_pieces_have_the_probabilities_of_the_search_and_words_are_aligned_with_the_source(translator):
    found = translator.search(LINES[1:2])
    [[details]] = translator.details(LINES[1:2], found)
    assert sum(details.piece_log_probabilities) == pytest.approx(found[0][0].log_probability, rel=1e-4)
    assert [target for _, target in details.alignment] == list(range(len(details.words)))
    assert {source for source, _ in details.alignment} <= {0, 1}


def test_generate_writes_texts_that_begin_as_told_and_notes_that_they_were_never_learned(run, capsys):
    command = [str(run), "a b", "--number", "3", "--length", "20"]
    assert generate_command.main(command) == 0
    texts, notes = capsys.readouterr()
    assert len(lines := texts.split("\n")[:-1]) == 3
    assert all(line.startswith("a b") for line in lines)
    assert f"note: {run} has learned no text without a source, so it writes de, " in notes
    assert generate_command.main([*command, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert [record["text"] for record in records] == lines
    assert all(len(record["pieces"]) <= 20 for record in records)


def test_ctranslate2_takes_a_causal_run(run, tmp_path):
    """Whether it translates as we do is tested in tests/dragoman/exchange/test_ctranslate2_model.py."""
    pytest.importorskip("ctranslate2")
    assert export_command.main([str(run), str(tmp_path / "c"), "--format", "ctranslate2", "--report", "0"]) == 0
    assert (tmp_path / "c" / "model.bin").stat().st_size > 0


def test_safetensors_holds_every_array(run, translator, tmp_path):
    assert export_command.main([str(run), str(tmp_path / "s"), "--format", "safetensors"]) == 0
    arrays, expected = flatten(read_safetensors(tmp_path / "s")), flatten(translator.parameters)
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert json.loads((tmp_path / "s" / "config.json").read_bytes())["model"]["assembly"] == "decoder_only"
