import json
import shutil

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from dragoman.commands import evaluate, translate
from dragoman.translation.marks import FILE
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests/golden/run"


def schema(name):
    return Draft202012Validator(json.loads((ROOT / "docs/schemas" / name).read_text()))


def test_a_calibrated_run_marks_its_translations(tmp_path, capsys):
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    scores, report = tmp_path / "scores.json", tmp_path / "report.html"
    assert evaluate.main([str(run), "--calibrate", "--json", str(scores), "--report", str(report)]) == 0
    found = json.loads(scores.read_text())
    schema("scores.json").validate(found)
    assert found["calibration"]["marks"] == json.loads((run / FILE).read_text())
    assert report.read_text().count("<svg") == 2
    assert "marks translations by this checkpoint from now on" in capsys.readouterr().out
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_text("a b\nc d e f a b\n")
    assert translate.main([str(run), "--json", "--input", str(source), "--output", str(output)]) == 0
    lines = [json.loads(line) for line in output.read_text().split("\n")[:-1]]
    for line in lines:
        schema("translation.json").validate(line)
        assert line["translations"][0]["mark"] in ("good", "check", "redo")
    output.unlink()
    (run / FILE).unlink()
    translate.main([str(run), "--json", "--input", str(source), "--output", str(output)])
    assert "mark" not in json.loads(output.read_text().split("\n")[0])["translations"][0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--calibrate", "--split", "test"], "--calibrate on a test set: thresholds are learned on the validation set"),
        (["--calibrate", "--perturb", "typos"], "--calibrate with --perturb: it looks at one run only"),
        (["--calibrate", "--checkpoints", "best,average"], "--calibrate: 2 systems are named"),
        (["--calibrate", "--sweep", "beam=1,2"], "--sweep with --calibrate: first choose the settings"),
    ],
)
def test_what_cannot_be_calibrated_is_told_in_one_line(options, problem):
    with pytest.raises(InputError) as error:
        evaluate.main([str(GOLDEN), *options])
    assert problem in str(error.value)
