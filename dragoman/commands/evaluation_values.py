"""What the options of `dragoman evaluate` mean: checks, and values in the form that evaluation takes them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.languages import check_code
from dragoman.commands.options import section_overrides
from dragoman.evaluation.command_metric import CommandMetric
from dragoman.evaluation.metrics import METRICS
from dragoman.evaluation.robustness import KINDS
from dragoman.evaluation.scoring import AnyMetric
from dragoman.evaluation.sweep import read_grid
from dragoman.evaluation.systems import Selection
from dragoman.runs.recipe import nearest

NOT_IN_SWEEPS = (
    *("output", "jsonl", "csv", "list_overlap", "baseline", "perturb", "mbr", "baselines"),
    *("hypotheses", "system", "ensemble"),
)
SELECTING = ("checkpoint", "checkpoints", "average")
OF_A_RUN = (*SELECTING, "beam", "length_penalty", "mbr", "perturb", "list_overlap", "output")


def check(options: argparse.Namespace) -> None:
    """InputError for values out of range, and for options that contradict each other."""
    for name in ("metrics", "checkpoints", "checkpoint", "baseline", "source", "language"):
        if getattr(options, name) == "":
            raise InputError(f"--{name} is empty: give a value, or leave the option out")
    if bool(options.source) != bool(options.reference):
        given, missing = ("--source", "--reference") if options.source else ("--reference", "--source")
        raise InputError(f"{given} without {missing}: give both, or neither for the run's own test set")
    files = "--source" if options.source else "--test"
    if (options.source or options.test) and options.split:
        raise InputError(f"--split {options.split} with {files}: the first is for the run's own sets; give one of them")
    if options.checkpoint and options.checkpoints:
        raise InputError("--checkpoint with --checkpoints: give one of them")
    if not (options.runs or options.ensemble or options.system or options.hypotheses):
        raise InputError("nothing to evaluate: name a run, or give --system, --ensemble or --hypotheses")
    if options.hypotheses and not (options.source or options.test):
        raise InputError("--hypotheses needs the files of its test set: give --source and --reference, or --test")
    if options.baselines and not (options.runs or options.system or options.ensemble):
        raise InputError("--baselines needs a run: the dictionary is learned from its training text")
    if options.language and not (options.source or options.test):
        raise InputError("--language needs the files of a test set: a run's own has the language of its recipe")
    if options.language is not None:
        check_code(options.language, what="--language")
    for name, least in (("samples", 0), ("trials", 0), ("seed", 1)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} is {getattr(options, name)}: expected {least} or more")
    if options.baseline and not options.samples:
        raise InputError("--baseline with --samples 0: p-values need samples")
    check_is_used(options)


def check_is_used(options: argparse.Namespace) -> None:
    """InputError for an option that would change nothing, because there is no run, or no checkpoint to choose."""
    joins = bool(options.baseline) and Path(options.baseline).is_dir()
    translates = bool(options.runs or options.system or options.ensemble or joins)
    for name, value in vars(options).items():
        if value is None or value is False or value in ("", []):
            continue
        option = f"--{name.replace('_', '-')}"
        if not translates and (name in OF_A_RUN or name.startswith("decoding.")):
            raise InputError(f"{option} needs a run: there are only --hypotheses, which are scored as they are")
        if name in SELECTING and not (options.runs or options.system):
            raise InputError(f"{option} needs a run: --ensemble and --baseline name their own checkpoints")


def check_sweep(options: argparse.Namespace) -> None:
    """InputError for options that --sweep or --calibrate do not take, or that only --sweep takes."""
    what = "sweep" if options.sweep else "calibrate"
    if not options.sweep:
        for name in ("write_back", "sweep_on_test"):
            if getattr(options, name):
                raise InputError(f"--{name.replace('_', '-')} needs --sweep KNOB=VALUES")
        if not options.calibrate:
            return
    for name in NOT_IN_SWEEPS:
        if getattr(options, name):
            raise InputError(f"--{what} with --{name.replace('_', '-')}: it looks at one run only, by its own set")
    if options.sweep and options.calibrate:
        raise InputError("--sweep with --calibrate: first choose the settings, then calibrate")
    is_test = bool(options.source or options.test or options.split == "test")
    if is_test and options.calibrate:
        raise InputError("--calibrate on a test set: thresholds are learned on the validation set; leave the set out")
    if is_test and not options.sweep_on_test:
        raise InputError(
            "--sweep on a test set chooses what happens to suit it, and its scores are then too good: leave the set "
            "out, for the validation set, or say --sweep-on-test"
        )
    if options.sweep_on_test and options.write_back:
        raise InputError("--write-back with --sweep-on-test: knobs that a test set has chosen are not for use")
    read_grid(options.sweep)


def named(option: str, text: str) -> tuple[str, list[str]]:
    """The name and the parts of a value: "wide=a,b" -> "wide", ["a", "b"]. InputError without a name or parts."""
    name, _, value = text.partition("=")
    parts = value.split(",")
    if not name.strip() or not all(parts):
        raise InputError(f"{option} {text}: expected NAME=VALUE, with commas between several values")
    return name.strip(), parts


def all_named(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    """The values of an option that may be given several times, by name. InputError for a name given twice."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, parts = named(option, text)
        if name in found:
            raise InputError(f"{option} {name}: named twice: give each a name of its own")
        found[name] = parts
    return found


def selection_of(options: argparse.Namespace) -> Selection:
    """The checkpoints of each run that the options select."""
    names = [options.checkpoint] if options.checkpoint else (options.checkpoints or "").split(",")
    if options.checkpoints and not all(names):
        raise InputError(
            f"--checkpoints {options.checkpoints}: expected names with commas between them: best,last,1000"
        )
    return Selection(tuple(name for name in names if name), tuple(options.average))


def knobs_of(options: argparse.Namespace) -> dict[str, Any]:
    """The knobs of the search that the options change."""
    knobs: dict[str, Any] = dict(section_overrides(options, "decoding"))
    for name, value in (("beam", options.beam), ("length_penalty", options.length_penalty)):
        if value is not None:
            if name in knobs:
                raise InputError(f"{name} is given twice, as decoding.{name} too: give one of them")
            knobs[name] = value
    return knobs


def perturbations_of(options: argparse.Namespace) -> list[str]:
    """The ways in which test sets are to be disturbed."""
    names = options.perturb.split(",") if options.perturb else []
    for name in names:
        if name not in KINDS:
            raise InputError(f"--perturb: {name!r}: unknown{nearest(name, KINDS)}")
    return list(dict.fromkeys(names))


def metrics_of(options: argparse.Namespace) -> list[AnyMetric]:
    """The metrics that the options ask for: those of METRICS, then the user's commands."""
    names = options.metrics.split(",") if options.metrics else list(METRICS)
    for name in names:
        if name not in METRICS:
            raise InputError(
                f"--metrics: {name}: unknown metric{nearest(name, METRICS)}; expected {', '.join(METRICS)}"
            )
    commands = {}
    for text in options.metric:
        name, _, command = text.partition("=")
        if not name or not command.strip():
            raise InputError(f"--metric {text}: expected NAME=COMMAND")
        if name in METRICS or name in commands:
            raise InputError(f"--metric {name}: there is a metric of this name already: choose another")
        commands[name] = CommandMetric(name, command, larger_is_better=name not in options.lower_is_better)
    for name in options.lower_is_better:
        if name not in commands:
            raise InputError(f"--lower-is-better {name}: no --metric has this name{nearest(name, commands)}")
    return [*(METRICS[name] for name in dict.fromkeys(names)), *commands.values()]
