"""`dragoman evaluate RUN --sweep`: the scores of a run under other decoding knobs, on its validation set."""

import argparse
from collections.abc import Sequence

from data.errors import InputError
from dragoman.evaluation.held_out import HeldOut, TestSet, own_test_set
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.sweep import conclusion, read_grid, sweep, sweep_table, write_back
from dragoman.evaluation.systems import Candidate
from dragoman.evaluation.table import columns
from dragoman.files import write_json
from dragoman.messages import say
from dragoman.reports.page import write_page
from dragoman.reports.sweep import sweep_report
from dragoman.signals import Interrupted, StopRequest


def run_sweep(options: argparse.Namespace, candidates: Sequence[Candidate], test_sets: Sequence[TestSet]) -> int:
    """The exit status of a sweep, after its table, its files, and what it writes back."""
    if len(candidates) != 1 or len(candidates[0].members) != 1:
        raise InputError(f"--sweep: {len(candidates)} systems are named: expected one run, and one checkpoint of it")
    if len(test_sets) > 1:
        raise InputError(f"--sweep: {len(test_sets)} test sets are named: expected one")
    split: HeldOut = "test" if options.sweep_on_test else "validation"
    test_set = test_sets[0] if test_sets else own_test_set(candidates[0].members[0].config, split)
    cache, grid = Kept(is_fresh=options.fresh), read_grid(options.sweep)
    with StopRequest() as stop:
        try:
            found = sweep(
                candidates[0],
                grid,
                test_set,
                cache,
                samples=options.samples,
                seed=options.seed,
                is_stopping=lambda: stop.requested,
            )
        except Interrupted:
            return stop.exit_status
    say(f"{columns(sweep_table(found))}\n\n{conclusion(found)}")
    if options.json:
        write_json(options.json, {"results": [], "sweep": found.as_json()})
    if options.report:
        write_page(options.report, sweep_report(found))
    if options.write_back and found.best:
        write_back(found)
        say(f"{found.run}: the knobs of the best setting are in its config.toml now")
    return stop.exit_status
