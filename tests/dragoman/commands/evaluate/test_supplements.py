"""What evaluate.py tells besides scores: a report, disturbed copies, overlap, warnings about texts."""

import json
import random
import re

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from data.sources import load_corpora
from dragoman.evaluation.training_text import FILE, remember
from tests.dragoman.evaluation.test_line_order import REFERENCES, badly
from tests.support.evaluating import evaluate
from tests.support.paths import ROOT
from tests.support.tiny_run import CONFIG


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
