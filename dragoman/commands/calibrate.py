"""`dragoman evaluate RUN --calibrate`: what a run's confidence is worth, and thresholds that mark translations."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from dragoman.evaluation.calibration import calibrate, calibration_lines
from dragoman.evaluation.decoding import Model
from dragoman.evaluation.held_out import own_test_set
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.scoring import Evaluator
from dragoman.evaluation.systems import Candidate
from dragoman.files import write_json
from dragoman.messages import say
from dragoman.reports.calibration import calibration_report
from dragoman.reports.page import write_page
from dragoman.runs.loading import run_of_checkpoint
from dragoman.runs.run import Run
from dragoman.signals import Interrupted, StopRequest


def run_calibration(options: argparse.Namespace, candidates: Sequence[Candidate]) -> int:
    """The exit status of a calibration on the validation set, which prints what it found and stores the thresholds."""
    if len(candidates) != 1 or len(candidates[0].members) != 1:
        raise InputError(f"--calibrate: {len(candidates)} systems are named: expected one checkpoint of one run")
    member = candidates[0].members[0]
    test_set = own_test_set(member.config, "validation")
    cache = Kept(is_fresh=options.fresh)
    with StopRequest() as stop:
        try:
            model = Model(candidates[0], cache, {})
            outputs = model.with_details(model.outputs(test_set, is_stopping=lambda: stop.requested))
        except Interrupted:
            return stop.exit_status
    found = calibrate(outputs, Evaluator(test_set, [METRICS["chrf"]], cache, samples=0, trials=0, seed=1))
    for line in calibration_lines(found):
        say(line)
    if options.json:
        write_json(options.json, {"results": [], "calibration": found.as_json()})
    if options.report:
        write_page(options.report, calibration_report(found))
    if found.marks:
        run = run_of_checkpoint(Path(member.run)) or Run(member.run)
        found.marks.save(run.path)
        say(f"{run.path}: dragoman translate --json marks translations by this checkpoint from now on")
    return stop.exit_status
