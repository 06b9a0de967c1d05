"""Finds the systems that a user names: checkpoints of runs, averages, ensembles, and seeds of one system.

checkpoints   best | last | all | average | STEP, several with commas
averages      best:N | last:N | STEP,STEP,...
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from data.errors import InputError
from dragoman.evaluation.results import Kind, System
from dragoman.messages import warn
from dragoman.runs.loading import run_of_checkpoint
from dragoman.runs.run import Run
from dragoman.runs.selection import AVERAGE, best_steps, steps
from dragoman.translation.members import Member, find_average, find_member

Knobs = Mapping[str, Any]


class Candidate(NamedTuple):
    """A system that can translate, with its models as they were found: without their parameters."""

    system: System
    members: tuple[Member, ...]
    changed: tuple[str, ...] = ()  # the decoding knobs that are not the run's own


class Selection(NamedTuple):
    """Which checkpoints and averages of each run are evaluated: the best one, if nothing is selected."""

    checkpoints: tuple[str, ...] = ()
    averages: tuple[str, ...] = ()


NO_RUNS: Mapping[str, Sequence[str]] = {}
NO_KNOBS: Knobs = {}
BEST = Selection()


def find_systems(
    runs: Sequence[str],
    selection: Selection = BEST,
    knobs: Knobs = NO_KNOBS,
    *,
    ensembles: Mapping[str, Sequence[str]] = NO_RUNS,
    groups: Mapping[str, Sequence[str]] = NO_RUNS,
) -> list[Candidate]:
    """The candidates that are named: those of runs, ensembles by name, then the seeds of each group.

    `knobs` change the decoding of all of them: {"beam": 8}.

    InputError if one is missing, two have the same name, or seeds are the same model.
    """
    found = [one for run in runs for one in candidates_of(run, selection, knobs)]
    found += [ensemble(name, members, knobs) for name, members in ensembles.items()]
    for name, members in groups.items():
        found += seeds(name, members, selection, knobs)
    names = [one.system.name for one in found]
    for name in [*names, *groups]:
        if [*names, *groups].count(name) > 1:
            raise InputError(f"{name}: named twice: give each system once, and each name to one system")
    return [one._replace(changed=tuple(knobs)) for one in found]


def candidates_of(run: str, selection: Selection, knobs: Knobs) -> list[Candidate]:
    """The checkpoints and the averages of a run that are selected."""
    chosen: list[tuple[Member, Kind]] = []
    for name in selection.checkpoints or ("best",) * (not selection.averages):
        chosen += [(find_member(run, one, knobs), "run") for one in checkpoints_of(run, name)]
    for name in selection.averages:
        chosen.append((find_average(run, to_average(run, name), name, knobs), "average"))
    distinct = {(member.checkpoint, kind): (member, kind) for member, kind in chosen}
    return [
        candidate(run if len(distinct) == 1 else f"{run} {member.checkpoint}", kind, [member])
        for member, kind in distinct.values()
    ]


def checkpoints_of(run: str, name: str) -> list[str]:
    """The checkpoints that a name selects, oldest first: "all" are all steps, and the saved average."""
    if name not in ("last", "all"):
        return [name]
    if run_of_checkpoint(Path(run)) is not None:
        raise InputError(f"{run} is a checkpoint, and --checkpoints {name} is requested too: name the run instead")
    home = Run(run)
    saved = [str(step) for step in steps(home.checkpoints)]
    if not saved:
        raise InputError(f"{run}: no checkpoint yet: training saves the first after training.save_every steps")
    return saved[-1:] if name == "last" else saved + [AVERAGE] * (home.checkpoints / AVERAGE).is_dir()


def to_average(run: str, name: str) -> list[Path]:
    """The checkpoints of an average: "best:5" by validation score, "last:5", or steps: "1000,2000"."""
    home = Run(run)
    config = home.load_config()
    kind, _, number = name.partition(":")
    if kind in ("best", "last") and number.isdecimal() and int(number) >= 2:
        known = [home.checkpoints / str(step) for step in steps(home.checkpoints)]
        if kind == "best":
            known = best_steps(home.checkpoints, len(known), metric=config.training.metric, warn=warn)[::-1]
        if len(known) < int(number):
            scored = "with a validation score " if kind == "best" else ""
            raise InputError(
                f"{run}: --average {name}: it keeps {len(known)} steps {scored}only: see training.keep_best"
            )
        return known[-int(number) :]
    parts = name.split(",")
    if len(set(parts)) < 2 or len(set(parts)) < len(parts) or not all(part.isdecimal() for part in parts):
        raise InputError(f"--average {name}: expected best:N, last:N, or two steps or more: 1000,2000")
    missing = [part for part in parts if not (home.checkpoints / part).is_dir()]
    if missing:
        known_steps = ", ".join(map(str, steps(home.checkpoints)))
        raise InputError(f"{run}: --average {name}: no checkpoint {missing[0]}: it keeps {known_steps}")
    return [home.checkpoints / part for part in parts]


def ensemble(name: str, runs: Sequence[str], knobs: Knobs) -> Candidate:
    """An ensemble of the best checkpoints of runs, or of the checkpoints that are named."""
    if len(runs) < 2:
        raise InputError(f"--ensemble {name}={','.join(runs)}: expected two runs or more, with commas between them")
    return candidate(name, "ensemble", [find_member(run, "best", knobs) for run in runs])


def seeds(name: str, runs: Sequence[str], selection: Selection, knobs: Knobs) -> list[Candidate]:
    """The seeds of one system, a checkpoint or an average of each run. InputError if two are the same model."""
    if len(runs) < 2:
        raise InputError(f"--system {name}={','.join(runs)}: expected two runs or more, with commas between them")
    found: dict[str, Candidate] = {}
    for run in runs:
        own = candidates_of(run, selection, knobs)
        if len(own) != 1:
            chosen = ", ".join(one.system.checkpoint for one in own)
            raise InputError(
                f"--system {name}: {run} has {len(own)} selected checkpoints ({chosen}): seeds are compared by one of "
                "each run, as with --checkpoints best"
            )
        [one] = own
        if (same := found.get(one.system.parameters_sha256)) is not None:
            raise InputError(f"--system {name}: {run} and {same.system.run} are the same model: seeds must differ")
        found[one.system.parameters_sha256] = one._replace(system=one.system._replace(seed_of=name))
    return list(found.values())


def find_baseline(name: str, systems: Sequence[System]) -> str:
    """The name of the system that a user means by its name, its run, or the path of its checkpoint.

    InputError if there is none, or more than one.

    "runs/a", "runs/a/" and "runs/a/checkpoints/4000" mean checkpoints of the run.
    """
    names = named_as(name, systems)
    if len(names) == 1:
        return names[0]
    if names:
        raise InputError(f"--baseline {name}: could be any of {', '.join(names)}: give one of these names")
    known = ", ".join(system.name for system in systems)
    raise InputError(f"--baseline {name}: no such system: expected one of {known}")


def named_as(name: str, systems: Sequence[System]) -> list[str]:
    """The names of the systems that a user may mean: by its own name, else by its path, else by its run."""
    plain = name.rstrip("/")
    paths = {system.name: f"{system.run.rstrip('/')}/checkpoints/{system.checkpoint}" for system in systems}
    ways = (
        [system.name for system in systems if system.name.rstrip("/") == plain],
        [system.name for system in systems if paths[system.name] == plain],
        [system.name for system in systems if system.run.rstrip("/") == plain],
    )
    return next((names for names in ways if names), [])


def candidate(name: str, kind: Kind, members: Sequence[Member]) -> Candidate:
    """A candidate, with what its members say about it."""
    first = members[0]
    is_ensemble = kind == "ensemble"
    system = System(
        name,
        kind,
        run=name if is_ensemble else first.run,
        checkpoint="-" if is_ensemble else first.checkpoint,
        step=max(member.step for member in members),
        members=tuple(member.run for member in members) if is_ensemble else (),
        averaged=first.averaged if not is_ensemble else (),
        parameters=sum(leaf.size for member in members for leaf in jax.tree.leaves(member.parameters)),
        parameters_sha256=" ".join(member.parameters_sha256 for member in members),
    )
    return Candidate(system, tuple(members))
