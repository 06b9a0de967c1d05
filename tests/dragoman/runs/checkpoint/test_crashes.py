"""Whatever goes wrong while a checkpoint is written, no earlier one is lost."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.errors import InputError
from data.reporting import ignore
from dragoman.runs.checkpoint import Checkpointer, check_space, restore_optimizer, restore_parameters
from dragoman.runs.manifest import verify
from dragoman.runs.selection import latest
from tests.support.small_checkpoint import HASHES, abstract, assert_same, make, refusal


def test_an_error_in_the_background_surfaces_at_the_next_call_and_leaves_nothing(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES)
    checkpointer.save(1, make(1), make(1), progress={})
    checkpointer.save(2, {"x": jnp.zeros((0, 3))}, make(2), progress={})  # orbax takes no empty arrays
    message = refusal(lambda: checkpointer.save(3, make(3), make(3), progress={}))
    assert message.startswith(f"{tmp_path}/2: could not be saved: ValueError: Cannot save arrays with zero size")
    checkpointer.save(3, {"x": jnp.zeros((0, 3))}, make(2), progress={})
    assert f"{tmp_path}/3: could not be saved" in refusal(checkpointer.close)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_opening_finishes_a_complete_leftover_and_clears_the_others(original: Path, tmp_path: Path) -> None:
    for name in ("1", "2.removed", "3.partial", "4.partial", "5.partial", "5", "notes.partial"):
        shutil.copytree(original, tmp_path / name)
    (tmp_path / "4.partial" / "manifest.json").unlink()
    (tmp_path / "5" / "manifest.json").unlink()
    Checkpointer(tmp_path, keep_last=1, keep_best=0, hashes=HASHES).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "5", "notes.partial"]
    assert latest(tmp_path, warn=pytest.fail) == tmp_path / "5"


class Crash(BaseException):
    """Simulates the end of the process: no handler of ours catches it, so nothing is cleaned up."""


class Fault:
    """An audit hook that raises at the n-th file opened, renamed, made or removed below a directory."""

    def __init__(self) -> None:
        self.directory, self.left, self.error = "", 0, BaseException()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left and event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}:
            path = arguments[0]
            if isinstance(path, str | Path) and str(path).startswith(self.directory):
                self.left -= 1
                if not self.left:
                    raise self.error


def test_a_checkpoint_larger_than_the_free_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    arrays = {"parameters": {"x": np.broadcast_to(np.float32(0), 2**50)}}
    message = r"^it takes up to 4,294,967,296\.0 MiB, and the disk has [\d,]+\.\d MiB free$"
    with pytest.raises(InputError, match=message):
        check_space(tmp_path, arrays)


@pytest.fixture(scope="module")
def fault() -> Fault:
    return Fault()


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")], ids=["crash", "full disk"])
def test_a_save_that_fails_at_any_file_operation_costs_no_checkpoint(
    original: Path, tmp_path: Path, fault: Fault, error: BaseException, every: int
) -> None:
    x = {"x": np.arange(3.0, dtype=np.float32)}
    outcomes, operation, is_over = set(), 1 - every, False
    while not is_over:
        operation += every
        directory = tmp_path / str(operation)
        shutil.copytree(original, directory / "100")
        checkpointer = Checkpointer(directory, keep_last=1, keep_best=0, hashes=HASHES)
        fault.directory, fault.left, fault.error = str(directory), operation, error
        try:
            checkpointer.save(200, x, x, progress={})
            checkpointer.close()
            outcomes.add("saved")
        except Crash:
            outcomes.add("crashed")
        except InputError as found:
            expected = r"/200: could not (be saved|take its place): .*No space left"
            outcomes.add("refused" if re.search(expected, str(found)) else str(found))
        is_over, fault.left = fault.left > 0, 0
        assert latest(directory, warn=ignore) is not None
        with Checkpointer(directory, keep_last=1, keep_best=0, hashes=HASHES) as checkpointer:
            assert latest(directory, warn=pytest.fail) is not None
            checkpointer.save(200, x, x, progress={})
        assert [path.name for path in directory.iterdir()] == ["200"]
        shutil.rmtree(directory)
    assert operation > 20
    assert outcomes == {"saved", "crashed" if isinstance(error, Crash) else "refused"}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from dragoman.runs.checkpoint import Checkpointer
from dragoman.runs.run import Run
from dragoman.runs.selection import latest
directory = Path(sys.argv[1])
with Checkpointer(directory, keep_last=2, keep_best=1, hashes={}) as checkpointer:
    found = latest(directory, warn=lambda line: sys.exit(line))
    first = step = int(found.name) if found else 0
    while True:
        step += 1
        x = {"x": np.full((300, 300), step, np.float32), "y": {"z": np.full(7, step, np.float32)}}
        checkpointer.save(step, x, x, progress={"step": step}, validation={"bleu": float(-step)})
        if step == first + 2:  # the save before this one is complete
            print(first + 1, flush=True)
"""


def test_a_writer_killed_at_any_time_leaves_its_last_checkpoint_whole(tmp_path: Path) -> None:
    chance, reached = random.Random(2), 0
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            started = int(process.stdout.readline())
            assert started >= reached
            time.sleep(0.2 + 0.3 * chance.random())
            process.send_signal(signal.SIGKILL)
        found = latest(tmp_path, warn=pytest.fail)
        assert found is not None
        reached = int(found.name)
        assert verify(found).progress == {"step": reached}
        expected = {"x": np.full((300, 300), reached, np.float32), "y": {"z": np.full(7, reached, np.float32)}}
        assert_same(restore_parameters(found), expected)
        assert_same(restore_optimizer(found, abstract(expected)), jax.tree.map(jnp.asarray, expected))
    assert len([path for path in tmp_path.iterdir() if "." not in path.name]) <= 4
