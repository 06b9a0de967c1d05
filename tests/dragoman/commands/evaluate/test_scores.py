"""Scores of runs are those that sacrebleu's own command computes for the written translations."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from data.sources import load_corpora
from dragoman.evaluation.metrics import METRICS
from dragoman.translation.translator import Translator
from tests.support.evaluating import evaluate
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG


def sacrebleu(reference: Path, hypotheses: Path, metric: str) -> dict:
    arguments = ["-m", "sacrebleu", str(reference), "-i", str(hypotheses), "-m", metric, "-w", "12", "--format", "json"]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_scores_and_signatures_are_those_of_the_sacrebleu_command(run, files, tmp_path):
    source, reference = files
    output, scores = tmp_path / "hypotheses", tmp_path / "scores.json"
    evaluate(run, "--source", source, "--reference", reference, "--json", scores, "--output", output)
    found = json.loads(scores.read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text())).validate(found)
    (result,) = found["results"]
    assert output.read_text(encoding="utf-8").split("\n")[:-1] == Translator.load(run).translate(
        source.read_text(encoding="utf-8").split("\n")[:-1]
    )
    for metric in ("bleu", "chrf", "ter"):
        theirs = sacrebleu(reference, output, metric)
        assert result[metric]["score"] == pytest.approx(theirs["score"], abs=1e-9)
        assert result[metric]["signature"] == theirs["signature"]


def test_several_runs_and_checkpoints_are_scored_on_their_own_test_sets(run, tmp_path, capsys):
    scores = tmp_path / "scores.json"
    evaluate(run, run / "checkpoints" / "10", "--json", scores, "--output", tmp_path / "output", "--beam", "1")
    results = json.loads(scores.read_text())["results"]
    assert [(result["run"], result["step"], result["beam"]) for result in results] == [
        (str(run), 20, 1),
        (str(run / "checkpoints" / "10"), 10, 1),
    ]
    assert len(list((tmp_path / "output").iterdir())) == 2
    shown = capsys.readouterr().out
    header, first, second = shown.split("\n")[:3]
    assert header.split()[-len(METRICS) :] == list(METRICS)
    assert len(header) == len(first) == len(second)
    assert "±" in first
    for result in results:
        assert f"{result['chrf']['score']:.2f}" in shown
        assert f"chrf: {result['chrf']['signature']}" in shown.split("\n")


def test_the_validation_set_can_be_scored_instead(run, tmp_path):
    scores = tmp_path / "scores.json"
    evaluate(run, "--split", "validation", "--json", scores, "--beam", "1")
    (result,) = json.loads(scores.read_text())["results"]
    assert result["sentences"] == len(load_corpora(CONFIG.data, "validation")[0].pairs)


def test_a_checkpoint_is_named_for_every_run(run, files, tmp_path, capsys):
    source, reference = files
    scores = tmp_path / "scores.json"
    options = ["--source", source, "--reference", reference, "--beam", "1", "--json", scores]
    evaluate(run, "--checkpoint", "10", *options)
    assert [result["checkpoint"] for result in json.loads(scores.read_text())["results"]] == ["10"]
    with pytest.raises(InputError, match=r"no checkpoint '30': expected best, 10, 20, or a path"):
        evaluate(run, "--checkpoint", "30", *options)
    with pytest.raises(InputError, match=r"10 is a checkpoint, and checkpoint '20' is requested too"):
        evaluate(run / "checkpoints" / "10", "--checkpoint", "20", *options)


def test_scores_and_translations_go_through_pipes_and_links(run, files, tmp_path):
    source, reference = files
    pipe, link, read = tmp_path / "pipe", tmp_path / "link", []
    os.mkfifo(pipe)
    link.symlink_to("real.txt")
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    evaluate(run, "--source", source, "--reference", reference, "--beam", "1", "--json", pipe, "--output", link)
    reader.join(10)
    assert json.loads(read[0])["results"][0]["step"] == 20
    assert (tmp_path / "real.txt").read_bytes().count(b"\n") == 12
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)


def test_chrf_of_outputs_that_chrf_chose_is_marked(run, files, tmp_path, capsys):
    source, reference = files
    options = ["--source", source, "--reference", reference, "--mbr", "--beam", "2", "--metrics", "bleu,chrf"]
    options += ["--decoding.unrepeated", "3"]
    assert evaluate(run, *options, "--samples", "0", "--no-perplexity", "--jsonl", tmp_path / "rows") == 0
    [row] = [json.loads(line) for line in (tmp_path / "rows").read_text().split("\n")[:-1]]
    assert row["chrf"]["chosen_by_it"] is True
    assert row["decoding"] == {"mbr": True, "unrepeated": 3}
    assert "chosen_by_it" not in row["bleu"]
    shown = capsys.readouterr().out
    assert f"{row['chrf']['score']:.2f}*" in shown
    assert "* These outputs were chosen by chrF (--mbr)" in shown
