"""Saves, verifies, restores and averages checkpoints; nothing unverified is ever loaded.

Before loading, every file is hashed; afterwards the arrays are compared with the hash of those that were saved.
Translating needs only the parameters, so a damaged optimizer state does not prevent it. Resuming needs every file.

    checkpoints/STEP/         one step: parameters/ optimizer/ manifest.json
    checkpoints/average/      the mean of several: parameters/ manifest.json
    checkpoints/NAME.partial  being written;  NAME.removed  being deleted: both are cleared when a Checkpointer opens

Orbax writes the arrays, but into a temporary directory and without its CheckpointManager: the rename that publishes a
step must include the manifest, and the manager renames before we could write it. Its AsyncCheckpointer is not used
either. Arrays are copied to the host first; then a single thread writes, verifies, renames and prunes, in that order.
This is easier to reason about, and errors arrive through a Future.

`manifest` lists and verifies the files of a checkpoint, `selection` finds the latest and the best, and `storage` reads
and writes arrays.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data.errors import InputError
from data.reporting import ignore
from dragoman.files import flush, writing
from dragoman.runs.manifest import FORMAT, Manifest, list_files, read_manifest, verify, write_manifest
from dragoman.runs.selection import AVERAGE, current_set, first_good, goodness, is_comparable, steps
from dragoman.runs.storage import (
    Arrays,
    Tree,
    check_finite,
    digest,
    name_leaves,
    nest,
    put_on_devices,
    read_arrays,
    reason,
    to_host,
    write_arrays,
)
from transformer.devices.processes import on_first

LEFTOVER = re.compile(r"(\d+|average)\.(partial|removed)")


class Checkpointer:
    """Writes checkpoints in the background, one at a time, and keeps the newest and the best.

    Open it while holding the run's lock and before looking for the latest step: opening finishes or clears what a
    killed writer left behind. In a job, all processes open and call it, and process 0 writes. If a save fails, the next
    `save` or `wait` raises its error in every process, or else `close` raises it in process 0.
    """

    def __init__(
        self, directory: Path, *, keep_last: int, keep_best: int, hashes: dict[str, str], metric: str = "bleu"
    ):
        self.directory = Path(directory)
        self.keep_last, self.keep_best, self.metric, self.hashes = keep_last, keep_best, metric, dict(hashes)
        self.is_writer = jax.process_index() == 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        if self.is_writer:
            with writing(self.directory):
                self.directory.mkdir(parents=True, exist_ok=True)
            self._recover()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(
        self,
        step: int,
        parameters: Tree,
        optimizer: Tree,
        *,
        progress: dict[str, Any],
        validation: dict[str, float] | None = None,
        validation_set: str | None = None,
    ) -> None:
        """Copy the arrays, then write them in the background; the originals may be donated when this returns.

        `validation_set` is a hash of what the validation scores are measured on.
        """
        arrays = {"parameters": to_host(parameters), "optimizer": to_host(optimizer)}
        about = {"step": step, "averaged": [], "progress": progress, "validation": validation}
        self._start(str(step), arrays, about | {"validation_set": validation_set})

    def save_average(
        self,
        parameters: Tree,
        *,
        steps: Sequence[int],
        validation: dict[str, float] | None,
        validation_set: str | None = None,
    ) -> None:
        """As `save`, for the only average of several steps. It is never pruned, and training cannot resume from it."""
        about = {"step": max(steps), "averaged": sorted(steps), "progress": {}, "validation": validation}
        about["validation_set"] = validation_set
        self._start(AVERAGE, {"parameters": to_host(parameters)}, about)

    def wait(self) -> None:
        """Wait until the last save is on the disk; raise its error if it failed. All processes call this together."""
        on_first(self._finish)

    def _finish(self) -> None:
        """As `wait`, but only in this process."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Finish the last save, then stop the thread. Does not wait for other processes, which may have failed."""
        try:
            self._finish()
        finally:
            self._thread.shutdown()

    def _start(self, name: str, arrays: dict[str, Arrays], about: dict[str, Any]) -> None:
        """Start a save in the background, after checking the values and waiting for the previous save."""
        for item, leaves in arrays.items():
            check_finite(leaves, f"{self.directory / name}: {item}:")
        json.dumps(about, allow_nan=False)  # raise here, in the caller, rather than in the thread
        self.wait()
        if self.is_writer:
            self._pending = self._thread.submit(self._write, name, arrays, about)

    def _write(self, name: str, arrays: dict[str, Arrays], about: dict[str, Any]) -> None:
        """Write, verify, publish and prune, in this order, so that a good checkpoint exists at every moment."""
        partial = self.directory / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            check_space(partial, arrays)
            for item, leaves in arrays.items():
                write_arrays(partial / item, leaves)
            sums = {f"{item}_sha256": digest(leaves) for item, leaves in arrays.items()}
            fields = {"optimizer_sha256": None, "hashes": self.hashes, "format": FORMAT, **sums, **about}
            write_manifest(partial, Manifest(files=list_files(partial), **fields))
            verify(partial)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise InputError(f"{self.directory / name}: could not be saved: {reason(error)}") from error
        try:
            self._publish(partial)
            if name != AVERAGE:
                self._prune(int(name))
        except OSError as error:
            raise InputError(f"{self.directory / name}: could not take its place: {reason(error)}") from error

    def _publish(self, partial: Path) -> None:
        """Give a complete checkpoint its final name, after removing an older one of that name."""
        final = partial.with_suffix("")
        self._remove(final)
        partial.rename(final)
        flush(self.directory)

    def _remove(self, path: Path) -> None:
        """Delete a checkpoint. It is renamed first, so that it is never seen incomplete."""
        removed = path.with_name(path.name + ".removed")
        if os.path.lexists(removed):
            delete(removed)
        if os.path.lexists(path):
            path.rename(removed)
            flush(self.directory)
            delete(removed)

    def _recover(self) -> None:
        """Publish a checkpoint that a killed writer completed but did not rename; clear its other leftovers."""
        for path in sorted(self.directory.iterdir()):
            if not LEFTOVER.fullmatch(path.name):
                continue
            if path.suffix == ".partial" and first_good([path], verify, warn=ignore):
                self._publish(path)
            else:
                delete(path)

    def _prune(self, newest: int) -> None:
        """Delete all steps except the newest and those with the best validation scores; damaged ones stay."""
        manifests = {step: found for step in steps(self.directory) if (found := self._manifest(step)) is not None}
        known = [step for step in manifests if step <= newest]  # later ones are damaged: training will overwrite them
        current = current_set([manifests[step] for step in known])
        ranks = {
            step: (is_comparable(manifests[step], current), goodness(manifests[step], self.metric), step)
            for step in known
        }
        scored = [step for step in known if ranks[step][1] > -math.inf]
        by_score = sorted(scored, key=lambda step: ranks[step], reverse=True)  # those of another validation set last
        kept = {newest, *known[-self.keep_last :], *by_score[: self.keep_best]}
        for step in known:
            if step not in kept:
                self._remove(self.directory / str(step))

    def _manifest(self, step: int) -> Manifest | None:
        """The manifest of a step, or None if it is damaged."""
        try:
            return read_manifest(self.directory / str(step))
        except InputError:
            return None


def check_space(directory: Path, arrays: dict[str, Arrays]) -> None:
    """InputError if the disk has no room for arrays. Orbax would report it too, after hundreds of lines."""
    needed = sum(array.nbytes for leaves in arrays.values() for array in leaves.values())
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise InputError(f"it takes up to {needed / 2**20:,.1f} MiB, and the disk has {free / 2**20:,.1f} MiB free")


def delete(directory: Path) -> None:
    """Delete a directory and what is in it; of a link to one, the link alone."""
    if directory.is_symlink():
        directory.unlink()
    else:
        shutil.rmtree(directory)


def restore_parameters(directory: Path, template: Tree | None = None, *, verified: Manifest | None = None) -> Tree:
    """The verified parameters of a checkpoint, with the structure and shardings of a template.

    The template's leaves are `jax.ShapeDtypeStruct`; their shardings may belong to any mesh, and a leaf without one
    goes to the default device. Without a template the result is nested dicts of NumPy arrays. Use that only for
    trusted checkpoints, since array sizes are then not checked before loading.

    If `verify` was called already, pass its result as `verified`, so that the files are not hashed twice. InputError
    for damaged parameters; the optimizer state may be damaged or missing.
    """
    directory = Path(directory)
    try:
        manifest = verified or verify(directory, "parameters")
    except InputError as error:
        raise InputError(f"{error}: restore it, or choose another with --checkpoint") from None
    arrays = load(directory, "parameters", manifest.parameters_sha256, template)
    return nest(arrays) if template is None else put_on_devices(arrays, template)


def restore_optimizer(directory: Path, template: Tree, *, verified: Manifest | None = None) -> Tree:
    """The verified optimizer state of a checkpoint, placed as in `restore_parameters`."""
    directory = Path(directory)
    manifest = verified or verify(directory, "optimizer")
    if manifest.optimizer_sha256 is None:
        raise InputError(f"{directory}: holds no optimizer state: training cannot resume from an average")
    return put_on_devices(load(directory, "optimizer", manifest.optimizer_sha256, template), template)


def load(directory: Path, item: str, expected: str, template: Tree | None) -> Arrays:
    """The arrays of one item. InputError if they differ from those that were saved."""
    arrays = read_arrays(directory / item, None if template is None else name_leaves(template))
    if digest(arrays) != expected:
        raise InputError(f"{directory / item}: the arrays read are not those saved: their SHA-256 differs")
    return arrays


def average(directories: Sequence[Path]) -> Tree:
    """The arithmetic mean of the parameters of several checkpoints, loaded one at a time and summed in float64."""
    if not directories:
        raise InputError("no checkpoints to average")
    one = name_leaves(restore_parameters(directories[0]))
    template = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in one.items()}
    sums = {name: array.astype(np.float64) for name, array in one.items()}
    for directory in directories[1:]:
        expected = verify(directory, "parameters").parameters_sha256
        for name, array in load(Path(directory), "parameters", expected, template).items():
            sums[name] += array
    return nest({name: (total / len(directories)).astype(template[name].dtype) for name, total in sums.items()})


def parameters_sha256(parameters: Tree) -> str:
    """SHA-256 over the parameters in the order of their paths, as in the manifest."""
    return digest(to_host(parameters))
