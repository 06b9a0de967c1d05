"""Scores of runs are those that sacrebleu's own command computes for the written translations."""

import json
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import dragoman.commands.evaluate as program
from data.errors import InputError
from data.sources import load_corpora
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.training_text import FILE, remember
from dragoman.translation.translator import Translator
from tests.dragoman.evaluation.test_line_order import REFERENCES, badly
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("evaluate") / "run", bleu={10: 1.0, 20: 3.0})


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """Twelve sources with references that a random model sometimes matches: characters, and its own words."""
    directory = tmp_path_factory.mktemp("files")
    pairs = list(load_corpora(CONFIG.data, "test")[0].pairs)[:12]
    source, reference = directory / "test.en", directory / "test.de"
    source.write_text("".join(pair.source + "\n" for pair in pairs), encoding="utf-8")
    reference.write_text("".join(pair.target + " i\u2028\n" for pair in pairs), encoding="utf-8")
    return source, reference


def evaluate(*arguments) -> int | None:
    return program.main([str(argument) for argument in arguments])


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


def test_results_that_could_not_be_written_are_reported_before_any_translation(run, files, tmp_path):
    source, reference = files
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match=r"scores\.json: cannot be written: (File exists|Not a directory)"):
        evaluate("none", "--json", tmp_path / "file" / "scores.json")
    with pytest.raises(InputError, match=r"file: is not a directory, which several translations need"):
        evaluate("none", "--output", tmp_path / "file")
    with pytest.raises(InputError, match=r"--split test with --source: .* give one of them"):
        evaluate("none", "--split", "test", "--source", source, "--reference", reference)
    assert (tmp_path / "file").read_text() == "kept"


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


def test_files_of_different_lengths_are_refused_with_both_counts(run, files, tmp_path):
    source, reference = files
    short = tmp_path / "short"
    short.write_text("a\nb\n")
    with pytest.raises(
        InputError, match=r"test\.en has 12 lines and .*short has 2: line n of one must translate line n"
    ):
        evaluate(run, "--source", source, "--reference", short)
    with pytest.raises(InputError, match=r"--source without --reference: give both, or neither"):
        evaluate(run, "--source", source)
    with pytest.raises(InputError, match=r"--reference without --source: give both, or neither"):
        evaluate(run, "--reference", reference)


def test_a_result_that_cannot_be_written_is_reported_in_one_line(run, files, tmp_path):
    source, reference = files
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"scores\.json: cannot be written: (File exists|Not a directory)"):
        evaluate(run, "--source", source, "--reference", reference, "--json", tmp_path / "file" / "scores.json")


# --- many systems ------------------------------------------------------------------------------------------


def scored(tmp_path, *arguments, search=("--beam", "1")) -> dict:
    """The JSON that the command writes, which follows its schema."""
    options = ["--json", tmp_path / "scores.json", "--no-perplexity", "--samples", "50", "--trials", "50"]
    assert evaluate(*arguments, *options, *search, "--metrics", "bleu,chrf") == 0
    found = json.loads((tmp_path / "scores.json").read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text())).validate(found)
    return found


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


@pytest.mark.parametrize(
    "options",
    [
        *(["--perturb", "typos"], ["--average", "last:0"], ["--checkpoints", "all"], ["--checkpoint", "10"]),
        *(["--beam", "4"], ["--length-penalty", "0"], ["--mbr"], ["--decoding.unrepeated", "3"]),
        *(["--list-overlap", "FILE"], ["--output", "FILE"]),
    ],
)
def test_options_of_a_run_are_refused_for_texts_alone(files, tmp_path, options):
    source, reference = files
    given = ["--source", source, "--reference", reference, "--hypotheses", f"same={reference}", "--baseline", "same"]
    with pytest.raises(InputError, match=f"^{options[0]} needs a run: there are only --hypotheses, which are"):
        evaluate(*given, *(tmp_path / "file" if option == "FILE" else option for option in options))


def test_checkpoints_are_not_chosen_for_an_ensemble_or_a_baseline(run, files):
    source, reference = files
    given = ["--source", source, "--reference", reference, "--hypotheses", f"same={reference}", "--baseline", run]
    with pytest.raises(InputError, match="--average needs a run: --ensemble and --baseline name their own checkpoints"):
        evaluate(*given, "--average", "best:2")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to evaluate: name a run, or give --system, --ensemble or --hypotheses"),
        (
            ["--hypotheses", "a=b"],
            "--hypotheses needs the files of its test set: give --source and",
        ),
        (
            ["--hypotheses", "SHORT", "--source", "S", "--reference", "R"],
            "short has 2 lines and test set test.en has",
        ),
        (["--hypotheses", "a=b,c", "--source", "S", "--reference", "R"], "names 2 files, and there are 1 test sets"),
        (["--hypotheses", "file", "--source", "S", "--reference", "R"], "--hypotheses file: expected NAME=VALUE"),
        (["RUN", "--test", "a=b"], "--test a=b: expected NAME=SOURCE,REFERENCE"),
        (["RUN", "--metrics", ""], "--metrics is empty: give a value, or leave the option out"),
        (["RUN", "--baseline", ""], "--baseline is empty: give a value, or leave the option out"),
        (["RUN", "--language", "de"], "--language needs the files of a test set"),
        (["RUN", "--checkpoint", "10", "--checkpoints", "all"], "--checkpoint with --checkpoints: give one of them"),
        (["RUN", "--checkpoints", "10,"], "--checkpoints 10,: expected names with commas between"),
        (["RUN", "--seed", "0"], "--seed is 0: expected 1 or more"),
        (["RUN", "--samples", "-1"], "--samples is -1: expected 0 or more"),
        (["RUN", "--samples", "0", "--baseline", "RUN"], "--baseline with --samples 0: p-values need samples"),
        (["RUN", "--metrics", "blue"], "--metrics: blue: unknown metric; did you mean bleu?"),
        (["RUN", "--metric", "bleu=cat"], "--metric bleu: there is a metric of this name already"),
        (["RUN", "--metric", "comet"], "--metric comet: expected NAME=COMMAND"),
        (["RUN", "--lower-is-better", "comet"], "--lower-is-better comet: no --metric has this name"),
        (["RUN", "--system", "a=b,c", "--system", "a=d,e"], "--system a: named twice"),
        (["RUN", "--beam", "2", "--decoding.beam", "3"], "beam is given twice, as decoding.beam too"),
        (["RUN", "--source", "S", "--reference", "R", "--language", "jp"], "--language is 'jp', not a language code"),
        (["--hypotheses", "a=b", "--baselines", "--source", "S", "--reference", "R"], "--baselines needs a run"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(run, files, tmp_path, options, problem):
    short = tmp_path / "short"
    short.write_text("a\nb\n")
    words = {"RUN": run, "S": files[0], "R": files[1], "SHORT": f"short={short}"}
    with pytest.raises(InputError) as error:
        evaluate(*(words.get(option, option) for option in options))
    assert problem in str(error.value)


def test_the_report_shows_systems_sentences_and_the_command(tmp_path):
    golden, report = ROOT / "tests" / "golden" / "run", tmp_path / "my report.html"
    source, reference, theirs = (tmp_path / name for name in ("source", "reference", "theirs"))
    for file, lines in ((source, ["a b c", "d e", "b a"]), (reference, ["c b a", "e d", "a b"])):
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    theirs.write_text("c b a\n<script>alert(1)</script>\na b\n", encoding="utf-8")
    evaluate(golden, "--source", source, "--reference", reference, "--hypotheses", f"theirs={theirs}",
             "--baseline", golden, "--samples", 50, "--trials", 0, "--report", report)  # fmt: skip
    page = report.read_text(encoding="utf-8")
    assert re.search(rf'<p class="verdict">[^<]*\btheirs\b[^<]*{golden}', page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "--report &#39;" in page  # the command, quoted for a shell
    assert "<h3>Validation BLEU</h3>" in page
    assert re.search(r'<span class="w a\d[^>]*title="confidence', page)


def test_a_report_that_could_not_be_written_is_an_error_before_all_the_work(run, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report.html: cannot be written: Is a directory"):
        evaluate(run, "--report", tmp_path / "report.html")


def test_a_report_does_not_overwrite_another_file_of_the_command(run, files, tmp_path):
    source, reference = files
    with pytest.raises(InputError, match="--report"):
        evaluate(run, "--source", source, "--reference", reference, "--report", reference)


def test_disturbed_copies_and_overlap_are_in_the_table_and_in_the_files(run, files, tmp_path, capsys):
    source, reference = files
    lines, scores = tmp_path / "lines.tsv", tmp_path / "scores.json"
    remember(load_corpora(CONFIG.data, "test")).save(run / FILE)  # so each source is known
    options = ["--source", source, "--reference", reference, "--json", scores, "--list-overlap", lines, "--beam", "1"]
    evaluate(run, *options, "--perturb", "upper,spaces")
    (run / FILE).unlink()
    found = json.loads(scores.read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text())).validate(found)
    assert [one["kind"] for one in found["robustness"]] == ["upper", "spaces"]
    assert found["overlap"][0]["exact"] == list(range(1, 13))
    assert [line.split("\t")[:5] for line in lines.read_text().split("\n")[:-1]] == [
        [str(run), "test.en", str(number), "exact", "source"] for number in range(1, 13)
    ]
    assert "12 of 12 lines occur in the training text" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--perturb: 'case': unknown; known are upper, title, typos, .*, paragraphs"):
        evaluate(run, *options, "--perturb", "case")


def test_a_shuffled_file_a_tokenised_one_and_one_line_too_many_are_each_told_in_one_line(tmp_path, capsys):
    texts = {"source": [f"{line}." for line in REFERENCES], "reference": [f"{line}." for line in badly(REFERENCES)]}
    texts["shuffled"] = random.Random(1).sample(texts["reference"], len(texts["reference"]))
    texts["tokenised"] = [line.replace(".", " .") for line in texts["reference"]]
    texts["longer"] = [*texts["reference"], "Ende."]
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    files = ["--source", tmp_path / "source", "--reference", tmp_path / "reference", "--samples", "0"]
    named = [f"--hypotheses={name}={tmp_path / name}" for name in texts]
    evaluate(*files, *named[2:4])
    shown = capsys.readouterr().out.split("\n")
    for words in ("shuffled on source looks shuffled", "tokenised on source looks tokenised"):
        assert len([line for line in shown if line.startswith(words)]) == 1
    with pytest.raises(InputError, match="longer has 201 lines and test set source has 200, 1 line too many"):
        evaluate(*files, named[4])
