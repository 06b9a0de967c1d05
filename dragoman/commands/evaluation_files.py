"""The files that `dragoman evaluate` writes: scores in several forms, a report, and translations."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from dragoman.commands.evaluation_values import named, selection_of
from dragoman.commands.paths import check_outputs
from dragoman.evaluation.overlap import overlap_lines
from dragoman.evaluation.results import Evaluation, Outputs
from dragoman.evaluation.serialization import as_csv, as_json, as_json_lines
from dragoman.files import check_writable, write_json, write_text
from dragoman.reports.evaluation import evaluation_report
from dragoman.reports.page import write_page
from dragoman.reports.runs import about_runs

WRITTEN = ("json", "jsonl", "csv", "report", "list_overlap")


def check_files(options: argparse.Namespace) -> None:
    """InputError if a file would overwrite another, or could not be written after all the work."""
    inputs = [("--source", options.source), *(("--reference", file) for file in options.reference)]
    for option, texts in (("--test", options.test), ("--hypotheses", options.hypotheses)):
        inputs += [(option, file) for text in texts for file in named(option, text)[1]]
    written = [(f"--{kind.replace('_', '-')}", getattr(options, kind)) for kind in WRITTEN]
    grouped = [run for text in [*options.system, *options.ensemble] for run in named("--system", text)[1]]
    joining = [options.baseline] if options.baseline and Path(options.baseline).is_dir() else []
    check_outputs([*written, ("--output", options.output)], inputs, runs=[*options.runs, *grouped, *joining])
    for _, path in written:
        if path:
            check_writable(path)
    if not options.output or options.output.is_dir():
        return
    if is_single(options):
        check_writable(options.output)
    elif options.output.exists():
        raise InputError(
            f"--output {options.output}: is not a directory, which several translations need: only those of one run, "
            "with --source, go to a file"
        )


def is_single(options: argparse.Namespace) -> bool:
    """Whether the command translates one text with one system, so that --output may be a file."""
    names = selection_of(options)
    checkpoints = len(names.checkpoints) + len(names.averages) <= 1 and "all" not in names.checkpoints
    systems = len(options.runs) * (1 if checkpoints else 2) + len(options.ensemble) + 2 * len(options.system)
    systems += bool(options.baseline) and options.baseline not in options.runs  # it may join them
    return systems == 1 and bool(options.source) + len(options.test) == 1


def write_results(options: argparse.Namespace, found: Evaluation, *, command: str) -> None:
    """Write the files of results that were asked for. `command` is the line that asked for them."""
    if options.json:
        write_json(options.json, as_json(found))
    if options.jsonl:
        write_text(options.jsonl, as_json_lines(found))
    if options.csv:
        write_text(options.csv, as_csv(found))
    if options.report:
        about = about_runs([outputs.system for outputs in found.outputs], found.test_sets)
        write_page(options.report, evaluation_report(found, about, command=command))
    if options.list_overlap:
        lines = overlap_lines(found.supplements.get("overlap", ()))
        write_text(options.list_overlap, "".join(f"{line}\n" for line in lines))


def save_outputs(path: Path, outputs: Sequence[Outputs], *, is_only: bool) -> None:
    """Write translations to `path`, or to a separate file each in the directory `path` if there are several."""
    for one in outputs:
        if one.system.kind in ("text", "baseline"):
            continue
        file = path
        if path.is_dir() or not is_only:
            name = f"{one.system.run.strip('/')}.{one.system.checkpoint}.{one.test_set.name}"
            name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
            file = path / f"{name}.txt"
        write_text(file, "".join(line + "\n" for line in one.hypotheses))
