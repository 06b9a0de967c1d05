"""Which checkpoint is the latest, and which is the best."""

import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import pytest

from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.selection import best, best_steps, latest, steps
from tests.support.small_checkpoint import HASHES, forge


def test_damaged_steps_are_skipped_with_a_warning(original: Path, tmp_path: Path) -> None:
    for step in ("9", "10", "100", "x"):
        shutil.copytree(original, tmp_path / step)
    warnings: list[str] = []
    assert steps(tmp_path) == [9, 10, 100]
    assert latest(tmp_path, warn=warnings.append) == tmp_path / "100"
    (tmp_path / "100" / "manifest.json").unlink()
    (tmp_path / "10" / "parameters" / "_METADATA").write_text("")
    assert latest(tmp_path, warn=warnings.append) == tmp_path / "9"
    assert len(warnings) == 2
    assert warnings[0].startswith(f"{tmp_path}/100/manifest.json: missing")
    assert warnings[1].startswith(f"{tmp_path}/10/parameters/_METADATA: 0 bytes")
    assert all(line.endswith("; skipped") for line in warnings)
    assert (steps(tmp_path / "none"), latest(tmp_path / "none", warn=pytest.fail)) == ([], None)


def test_the_best_is_of_highest_bleu_the_average_on_a_tie_and_the_latest_without_any(
    original: Path, tmp_path: Path
) -> None:
    def place(name: str, bleu: float | None) -> None:
        shutil.copytree(original, tmp_path / name)
        step = 3 if name == "average" else int(name)
        forge(tmp_path / name, step=step, validation=None if bleu is None else {"bleu": bleu})

    def chosen(warn: Callable[[str], None] = pytest.fail) -> str:
        path = best(tmp_path, metric="bleu", warn=warn)
        assert path is not None
        return path.name

    assert best(tmp_path, metric="bleu", warn=pytest.fail) is None
    place("2", None)
    place("3", None)
    place("average", None)
    assert chosen() == "3"
    place("4", 20.0)
    place("5", 30.0)
    place("6", 30.0)
    place("7", None)
    assert chosen() == "6"
    forge(tmp_path / "average", validation={"bleu": 30.0})
    assert chosen() == "average"
    warnings: list[str] = []
    (tmp_path / "average" / "parameters" / "_METADATA").write_text("")
    (tmp_path / "6" / "manifest.json").write_text("")
    assert chosen(warnings.append) == "5"
    assert [line.rpartition("/")[2].partition(":")[0] for line in warnings] == ["manifest.json", "_METADATA"]


def test_a_metric_where_smaller_is_better_keeps_and_chooses_the_smallest(tmp_path: Path) -> None:
    x = {"x": jnp.ones(2)}
    with Checkpointer(tmp_path, keep_last=1, keep_best=2, metric="ter", hashes=HASHES) as checkpointer:
        for step, (bleu, ter) in enumerate(((9.0, 70.0), (8.0, 50.0), (7.0, 60.0), (6.0, 80.0)), start=1):
            checkpointer.save(step, x, x, progress={}, validation={"bleu": bleu, "ter": ter})
    assert steps(tmp_path) == [2, 3, 4]
    assert best(tmp_path, metric="ter", warn=pytest.fail) == tmp_path / "2"
    assert best_steps(tmp_path, 2, metric="ter", warn=pytest.fail) == [tmp_path / "2", tmp_path / "3"]
    assert best(tmp_path, metric="bleu", warn=pytest.fail) == tmp_path / "2"
    assert best(tmp_path, metric="chrf", warn=pytest.fail) == tmp_path / "4"  # none has a score


def test_scores_on_another_validation_set_are_not_compared(tmp_path: Path) -> None:
    """The old best ones stay until as many have been scored on the new set, but nothing is chosen from them."""
    x = {"x": jnp.ones(2)}
    validations = [
        (40.0, "old"),
        (50.0, "old"),
        (60.0, None),
        (10.0, "new"),
        (20.0, "new"),
        (None, "new"),
        (15.0, "new"),
    ]
    kept, chosen = [], []
    with Checkpointer(tmp_path, keep_last=1, keep_best=2, hashes=HASHES) as checkpointer:
        for step, (bleu, name) in enumerate(validations, start=1):
            validation = None if bleu is None else {"bleu": bleu}
            checkpointer.save(step, x, x, progress={}, validation=validation, validation_set=name)
            checkpointer.wait()
            kept.append(steps(tmp_path))
            chosen.append(best(tmp_path, metric="bleu", warn=pytest.fail))
            if step == 2:
                checkpointer.save_average(x, steps=[1, 2], validation={"bleu": 70.0}, validation_set="old")
    assert kept == [[1], [1, 2], [2, 3], [3, 4], [3, 5], [3, 5, 6], [3, 5, 7]]
    # Step 3 is of an earlier version, which did not record the set.
    assert [path and path.name for path in chosen] == ["1", "2", "average", "3", "3", "3", "3"]
    assert [path.name for path in best_steps(tmp_path, 9, metric="bleu", warn=pytest.fail)] == ["3", "5", "7"]
    forge(tmp_path / "3", validation_set="old")
    assert best(tmp_path, metric="bleu", warn=pytest.fail) == tmp_path / "5"
    assert [path.name for path in best_steps(tmp_path, 9, metric="bleu", warn=pytest.fail)] == ["5", "7"]
