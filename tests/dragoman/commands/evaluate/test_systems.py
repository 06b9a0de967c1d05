"""Runs, averages, ensembles, seeds and texts are compared with each other."""

import os
from pathlib import Path

import pytest

from data.errors import InputError
from dragoman.translation.translator import Translator
from tests.support.evaluating import evaluate, scored
from tests.support.tiny_run import make_run


def test_checkpoints_averages_ensembles_and_texts_are_compared_on_named_test_sets(run, files, tmp_path, capsys):
    source, reference = files
    half = [tmp_path / name for name in ("half.en", "half.de")]
    for path, whole in zip(half, files, strict=True):
        path.write_text("".join(whole.read_text(encoding="utf-8").split("\n")[i] + "\n" for i in range(6)), "utf-8")
    ensemble = f"both={run}/checkpoints/10,{run}/checkpoints/20"
    sets = ["--test", f"whole={source},{reference}", "--test", f"half={half[0]},{half[1]}"]
    theirs = ["--hypotheses", f"theirs={reference},{half[1]}"]
    options = ["--checkpoints", "10,last", "--average", "best:2", "--ensemble", ensemble, "--baseline", "both"]
    found = scored(tmp_path, run, *sets, *theirs, *options, "--output", tmp_path / "out")
    rows = {(row["system"], row["test_set"]): row for row in found["results"]}
    systems = [f"{run} 10", f"{run} 20", f"{run} best:2", "both", "theirs"]
    assert list(rows) == [(system, name) for system in systems for name in ("whole", "half")]
    assert [rows[name, "half"]["kind"] for name in systems] == ["run", "run", "average", "ensemble", "text"]
    assert rows["theirs", "whole"]["bleu"]["score"] == pytest.approx(100)
    assert rows["theirs", "whole"]["bleu"]["verdict"] == "better"
    assert rows["theirs", "half"]["exact"] == 6
    assert rows[f"{run} best:2", "half"]["averaged"] == [10, 20]
    assert "verdict" not in rows["both", "half"]["bleu"]
    texts = {path.name: path.read_text(encoding="utf-8").split("\n")[:-1] for path in (tmp_path / "out").iterdir()}
    assert len(texts) == 8
    for name, text in texts.items():
        if name.endswith(".half.txt"):
            assert text == texts[name.replace(".half.", ".whole.")][:6]
    assert texts["both.-.whole.txt"] == Translator.load(
        run / "checkpoints" / "10", beam=1, ensemble=[run / "checkpoints" / "20"]
    ).translate(source.read_text(encoding="utf-8").split("\n")[:-1])
    assert "theirs against both on half:" in capsys.readouterr().out


def test_seeds_of_a_system_have_a_row_and_a_baseline_that_is_a_run_joins_the_table(run, files, tmp_path, capsys):
    source, reference = files
    seeds = f"tiny={run}/checkpoints/10,{run}/checkpoints/20"
    other = make_run(tmp_path / "other", bleu={30: 1.0})
    test = ["--source", source, "--reference", reference, "--reference", reference]
    found = scored(tmp_path, "--system", seeds, *test, "--baseline", other)
    rows = found["results"]
    assert [row["kind"] for row in rows] == ["run", "run", "run", "seeds"]
    assert rows[0]["run"] == found["baseline"] == str(other)
    scores = [row["chrf"]["score"] for row in rows]
    assert scores[3] == pytest.approx(sum(scores[1:3]) / 2)
    assert {one["method"] for one in found["comparisons"] if one["system"] == "tiny"} == {"Student's t"}
    assert rows[3]["chrf"]["signature"].startswith("nrefs:2|")
    assert "tiny (2 seeds)" in capsys.readouterr().out


def test_a_baseline_joins_the_table_with_its_best_checkpoint_only_if_no_system_is_meant(run, files, tmp_path):
    source, reference = files
    other = make_run(tmp_path / "other", bleu={30: 1.0, 40: 2.0})
    options = ["--source", source, "--reference", reference, "--checkpoints", "all", "--baseline"]
    rows = scored(tmp_path, run, *options, other)["results"]
    assert [(Path(row["run"]).name, row["step"]) for row in rows] == [("other", 40), ("run", 10), ("run", 20)]
    rows = scored(tmp_path, run, *options, run / "checkpoints" / "10")["results"]
    assert [row["step"] for row in rows] == [10, 20]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is not a directory, which several translations need"):
        evaluate(run, *options[:4], "--baseline", other, "--output", tmp_path / "file")


def test_texts_alone_need_no_run(files, tmp_path):
    source, reference = files
    options = ["--source", source, "--reference", reference, "--hypotheses", f"same={reference}"]
    found = scored(tmp_path, *options, "--hypotheses", f"source={source}", "--baseline", "same", search=())
    assert [row["bleu"].get("verdict") for row in found["results"]] == [None, "worse"]


def test_files_whose_names_are_not_utf8_are_read_and_named(files, tmp_path):
    names = [os.fsdecode(b"%s/%s\xff" % (bytes(tmp_path), name)) for name in (b"source", b"reference")]
    for file, name in zip(files, names, strict=True):
        Path(name).write_bytes(file.read_bytes())
    options = ["--source", names[0], "--reference", names[1], "--hypotheses", f"same\udcff={names[1]}"]
    [row] = scored(tmp_path, *options, "--report", tmp_path / "page.html", search=())["results"]
    assert (row["system"], row["test_set"]) == ("same\udcff", "source\udcff")
