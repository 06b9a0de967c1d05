import json
import shutil

import pytest
from jsonschema import Draft202012Validator

from data.errors import InputError
from dragoman.commands import evaluate
from dragoman.runs.run import Run
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests/golden/run"


def run_command(*arguments):
    return evaluate.main([str(argument) for argument in arguments])


def test_a_sweep_prints_a_table_and_writes_json_a_plot_and_the_choice(tmp_path, capsys):
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    scores, report = tmp_path / "scores.json", tmp_path / "sweep.html"
    options = ["--sweep", "beam=1,2", "length_penalty=0,2", "--samples", "20", "--write-back"]
    assert run_command(run, *options, "--json", scores, "--report", report) == 0
    found = json.loads(scores.read_text())
    Draft202012Validator(json.loads((ROOT / "docs/schemas/scores.json").read_text())).validate(found)
    best = found["sweep"]["settings"][found["sweep"]["best"]]["knobs"]
    after = Run(run).load_config().decoding
    assert {name: getattr(after, name) for name in best} == best
    shown = capsys.readouterr().out
    assert "length_penalty" in shown
    assert ("are in its config.toml now" in shown) == (found["sweep"]["best"] > 0)
    page = report.read_text()
    assert "<svg" in page
    assert "beam 2" in page


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--sweep", "beam=1,2", "--split", "test"], "--sweep on a test set chooses what happens to suit it"),
        (["--sweep", "beam=1", "--sweep-on-test", "--write-back"], "knobs that a test set has chosen are not for use"),
        (["--sweep", "beam=1", "--perturb", "typos"], "--sweep with --perturb: it looks at one run only"),
        (["--sweep", "beam=1", "--checkpoints", "best,average"], "--sweep: 2 systems are named: expected one run"),
        (["--write-back"], "--write-back needs --sweep KNOB=VALUES"),
        (["--sweep", "beam"], "--sweep beam: expected KNOB=VALUE"),
    ],
)
def test_what_cannot_be_swept_is_told_before_any_work(options, problem):
    with pytest.raises(InputError) as error:
        run_command(GOLDEN, *options)
    assert problem in str(error.value)
