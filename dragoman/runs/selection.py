"""Finds the latest checkpoint, the best one, and all steps.

The latest is the highest step whose files verify: there is no pointer file and no cached state.
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
    """The validation score of a checkpoint, negated if smaller is better; minus infinity if it has none."""
    score = (manifest.validation or {}).get(metric)
    if score is None:
        return -math.inf
    return score if METRICS[metric].larger_is_better else -score


def current_set(manifests: Sequence[Manifest]) -> str | None:
    """The validation set of the newest checkpoint that has scores: the only set that scores are compared on."""
    scored = [manifest for manifest in manifests if manifest.validation]
    return max(scored, key=lambda manifest: manifest.step).validation_set if scored else None


def is_comparable(manifest: Manifest, current: str | None) -> bool:
    """Whether the scores of a checkpoint are measured on this validation set, as far as is known."""
    return None in (manifest.validation_set, current) or manifest.validation_set == current


def steps(checkpoints: Path) -> list[int]:
    """The steps in a directory of checkpoints, ascending, from the names of the subdirectories."""
    if not Path(checkpoints).is_dir():
        return []
    names = (path.name for path in Path(checkpoints).iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]{0,17}", name))


def latest(checkpoints: Path, *, warn: Warn) -> Path | None:
    """The highest step that verifies. `warn` is called for each one skipped and names the damaged file."""
    return first_good([Path(checkpoints, str(step)) for step in reversed(steps(checkpoints))], verify, warn=warn)


def best(checkpoints: Path, *, metric: str, warn: Warn) -> Path | None:
    """The checkpoint to translate with: the one with the best validation score by a metric.

    On a tie the average is chosen, then the later step. If no checkpoint has a score, the latest step is chosen. A
    checkpoint with missing or truncated parameter files is skipped; contents are verified on loading.
    """
    names = [str(step) for step in steps(checkpoints)] + [AVERAGE] * Path(checkpoints, AVERAGE).is_dir()
    manifests = {}
    for path in (Path(checkpoints, name) for name in names):
        try:
            manifests[path] = read_manifest(path)
        except InputError as error:
            warn(f"{error}; skipped")
    current = current_set(list(manifests.values()))
    ranks = {
        path: rank(manifest, metric, is_average=path.name == AVERAGE, current=current)
        for path, manifest in manifests.items()
    }
    candidates = sorted(ranks, key=ranks.__getitem__, reverse=True)
    return first_good(candidates, lambda path: check_sizes(path, "parameters"), warn=warn)


def best_steps(checkpoints: Path, count: int, *, metric: str, warn: Warn) -> list[Path]:
    """The `count` steps with the best validation scores and intact parameters, best first, later first on ties."""
    found = []
    for path in (Path(checkpoints, str(step)) for step in steps(checkpoints)):
        try:
            found.append((verify(path, "parameters"), path))
        except InputError as error:
            warn(f"{error}; skipped")
    current = current_set([manifest for manifest, _ in found])
    scored = [
        (goodness(manifest, metric), manifest.step, path)
        for manifest, path in found
        if is_comparable(manifest, current) and goodness(manifest, metric) > -math.inf
    ]
    return [path for _, _, path in sorted(scored, reverse=True)[:count]]


def rank(manifest: Manifest, metric: str, *, is_average: bool, current: str | None) -> tuple[float, bool, int]:
    """The sort key of `best`: score, then the average (first on a tie, last without scores), then the later step.

    A score on another validation set than the current one does not count.
    """
    score = goodness(manifest, metric) if is_comparable(manifest, current) else -math.inf
    return score, is_average if score > -math.inf else not is_average, manifest.step


def first_good(candidates: Sequence[Path], check: Callable[[Path], Manifest], *, warn: Warn) -> Path | None:
    """The first checkpoint that passes a check. `warn` is called for each one before it."""
    for path in candidates:
        try:
            check(path)
            return path
        except InputError as error:
            warn(f"{error}; skipped")
    return None
