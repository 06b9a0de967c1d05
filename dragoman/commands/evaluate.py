"""Compares systems on test sets, by scores of detokenised text against untouched references, with signatures.

dragoman evaluate runs/m30k [more runs or checkpoints] --source test.en --reference test.de
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from data.lines import read_lines
from dragoman.commands.calibrate import run_calibration
from dragoman.commands.compiling import announcing_compilation
from dragoman.commands.evaluation_files import check_files, is_single, save_outputs, write_results
from dragoman.commands.evaluation_options import parse_evaluation_options
from dragoman.commands.evaluation_values import all_named, knobs_of, metrics_of, perturbations_of, selection_of
from dragoman.commands.sweep import run_sweep
from dragoman.evaluation.evaluation import Task, evaluate
from dragoman.evaluation.held_out import TestSet, read_test_set
from dragoman.evaluation.kept import Kept
from dragoman.evaluation.plausibility import check_line_count
from dragoman.evaluation.systems import Candidate, find_systems, named_as
from dragoman.evaluation.table import show
from dragoman.messages import say
from dragoman.signals import StopRequest
from dragoman.translation.loaded import Demands
from transformer.devices.compilation import use_compilation_cache

COMPILING = "compiling, once for each length of line; later commands find the programs in the cache"


def main(arguments: list[str]) -> int:
    """The exit status of the command: it translates with each system in turn, prints the scores, writes the files."""
    options = parse_evaluation_options(arguments)
    check_files(options)
    use_compilation_cache()
    task = make_task(options)
    if options.sweep:
        return run_sweep(options, task.candidates, task.test_sets)
    if options.calibrate:
        return run_calibration(options, task.candidates)
    with StopRequest() as stop, announcing_compilation(COMPILING):
        found = evaluate(task, Kept(is_fresh=options.fresh), is_stopping=lambda: stop.requested)
    if found.results:
        say(show(found))
    if options.output:
        save_outputs(options.output, found.outputs, is_only=is_single(options))
    if found.is_complete:
        write_results(options, found, command=shlex.join(["dragoman", "evaluate", *arguments]))
    return stop.exit_status


def make_task(options: argparse.Namespace) -> Task:
    """What the options ask for. InputError if something is missing, before any work."""
    metrics = metrics_of(options)
    groups, ensembles = all_named("--system", options.system), all_named("--ensemble", options.ensemble)
    knobs = knobs_of(options)
    candidates = find_systems(options.runs, selection_of(options), knobs, ensembles=ensembles, groups=groups)
    names = [*groups, *all_named("--hypotheses", options.hypotheses)]
    if is_further_run(options.baseline, candidates, names):
        candidates = [*find_systems([options.baseline], knobs=knobs), *candidates]
    test_sets = read_test_sets(options, candidates)
    texts = read_texts(options, test_sets)
    for name in texts:
        if name in [one.system.name for one in candidates] or name in groups:
            raise InputError(f"--hypotheses {name}: another system has this name: choose another")
    return Task(
        candidates,
        texts,
        test_sets,
        split=options.split,
        metrics=metrics,
        baseline=options.baseline or "",
        samples=options.samples,
        trials=options.trials,
        seed=options.seed,
        demands=Demands(mbr=options.mbr),
        has_baselines=options.baselines,
        has_perplexity=not options.no_perplexity,
        has_details=options.report is not None,
        perturb=perturbations_of(options),
        reads_training_text=bool(options.list_overlap),
    )


def is_further_run(baseline: str | None, candidates: Sequence[Candidate], names: Sequence[str]) -> bool:
    """Whether a baseline is a run, or a checkpoint, that none of the systems is: it joins them, as its best one."""
    if not baseline or baseline in names or not Path(baseline).is_dir():
        return False
    return not named_as(baseline, [one.system for one in candidates])


def read_test_sets(options: argparse.Namespace, candidates: Sequence[Candidate]) -> list[TestSet]:
    """The test sets that are given as files; none means the runs' own. InputError if lines do not match."""
    given = [("", [options.source, *options.reference])] if options.source else []
    given += list(all_named("--test", options.test).items())
    if not given:
        return []
    languages = {one.members[0].config.data.target_language for one in candidates}
    if len(languages) > 1 and not options.language:
        raise InputError(
            f"the runs translate into {' and '.join(sorted(languages))}: say --language, or leave some out"
        )
    language = options.language or next(iter(languages), "und")
    sources = {one.members[0].config.data.source_language for one in candidates}
    source_language = next(iter(sources)) if len(sources) == 1 else ""
    found = []
    for name, files in given:
        if len(files) < 2:
            raise InputError(f"--test {name}={files[0]}: expected NAME=SOURCE,REFERENCE")
        found.append(read_test_set(*files, name=name, language=language, source_language=source_language))
    if len({one.name for one in found}) < len(found):
        raise InputError(f"--test {found[0].name}: named as the file of --source is: choose another name")
    return found


def read_texts(options: argparse.Namespace, test_sets: Sequence[TestSet]) -> dict[str, list[Sequence[str]]]:
    """The translations that are given as files, by the name of their system, for each test set."""
    found: dict[str, list[Sequence[str]]] = {}
    for name, files in all_named("--hypotheses", options.hypotheses).items():
        if len(files) != len(test_sets):
            raise InputError(
                f"--hypotheses {name} names {len(files)} files, and there are {len(test_sets)} test sets: "
                "expected a file for each, in their order"
            )
        found[name] = [read_lines(file) for file in files]
        for file, lines, test_set in zip(files, found[name], test_sets, strict=True):
            check_line_count(file, lines, f"test set {test_set.name}", test_set.sources)
    return found
