"""Which checkpoint: the latest, the best, and the steps there are.

"Latest" is the highest step that verifies on the disk: there is no pointer file and no cached belief.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from data.errors import InputError
from dragoman.evaluation.metrics import METRICS
from dragoman.runs.manifest import Manifest, check_sizes, read_manifest, verify

AVERAGE = "average"
Warn = Callable[[str], None]


def goodness(manifest: Manifest, metric: str) -> float:
    """The validation score of a checkpoint, negated if smaller is better; minus infinity where there is none."""
    score = (manifest.validation or {}).get(metric)
    if score is None:
        return -math.inf
    return score if METRICS[metric].larger_is_better else -score


def steps(checkpoints: Path) -> list[int]:
    """The steps in a directory of checkpoints, ascending, going by their names."""
    if not Path(checkpoints).is_dir():
        return []
    names = (path.name for path in Path(checkpoints).iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]{0,17}", name))


def latest(checkpoints: Path, *, warn: Warn) -> Path | None:
    """The highest step that verifies; `warn` is told of each one skipped, with the file at fault."""
    return first_good([Path(checkpoints, str(step)) for step in reversed(steps(checkpoints))], verify, warn=warn)


def best(checkpoints: Path, *, metric: str, warn: Warn) -> Path | None:
    """The checkpoint to translate with: the one with the best validation score by a metric.

    Among equal scores the average is chosen, then the later step; where none has a score, the latest step. One whose
    parameters have files missing or cut is skipped; their contents are verified when they are loaded.
    """
    names = [str(step) for step in steps(checkpoints)] + [AVERAGE] * Path(checkpoints, AVERAGE).is_dir()
    ranks = {}
    for path in (Path(checkpoints, name) for name in names):
        try:
            ranks[path] = rank(read_manifest(path), metric, is_average=path.name == AVERAGE)
        except InputError as error:
            warn(f"{error}; skipped")
    candidates = sorted(ranks, key=ranks.__getitem__, reverse=True)
    return first_good(candidates, lambda path: check_sizes(path, "parameters"), warn=warn)


def best_steps(checkpoints: Path, count: int, *, metric: str, warn: Warn) -> list[Path]:
    """The `count` steps with the best validation scores and intact parameters, best first; a tie goes to the later."""
    scored = []
    for path in (Path(checkpoints, str(step)) for step in steps(checkpoints)):
        try:
            manifest = verify(path, "parameters")
        except InputError as error:
            warn(f"{error}; skipped")
            continue
        if goodness(manifest, metric) > -math.inf:
            scored.append((goodness(manifest, metric), manifest.step, path))
    return [path for _, _, path in sorted(scored, reverse=True)[:count]]


def rank(manifest: Manifest, metric: str, *, is_average: bool) -> tuple[float, bool, int]:
    """What `best` sorts by: among equal scores the average first, without scores last, then the later step."""
    score = goodness(manifest, metric)
    return score, is_average if score > -math.inf else not is_average, manifest.step


def first_good(candidates: Sequence[Path], check: Callable[[Path], Manifest], *, warn: Warn) -> Path | None:
    """The first checkpoint that passes a check; `warn` is told of those before it."""
    for path in candidates:
        try:
            check(path)
            return path
        except InputError as error:
            warn(f"{error}; skipped")
    return None
