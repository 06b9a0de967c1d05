"""The run directory is the model: it holds config, tokenizer, checkpoints and metrics, and it can be copied.

config.toml      the resolved config            checkpoints/   see checkpoint.py
tokenizer.model  or tokenizer.source.model      metrics.jsonl  one JSON object a line, with its step
                 and tokenizer.target.model     report.html    learning curves, to look at
lock             held while a process trains here

It also holds statistics of its text: source_text.json, and training_text.npz, which only evaluation reads.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.text.statistics import SOURCE_TEXT, SourceStatistics
from data.vocabulary.pieces import TOKENIZER_FILES
from dragoman.files import is_junk, is_utf8, read_bytes, write_atomically, writing
from dragoman.runs.manifest import NAME as MANIFEST
from dragoman.runs.recipe import NO_OVERRIDES, read_stored, toml_text
from transformer.config import Config


class Run:
    """A run directory: its paths, its config, its lock and its metrics.

    InputError if its path is not UTF-8, and for a file of it that cannot be written, as on a full disk.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not is_utf8(self.path.absolute()):
            raise InputError(f"{path}: the path of a run must be UTF-8: rename it, or name a link to it")
        self.config_path = self.path / "config.toml"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_path = self.path / "metrics.jsonl"

    def tokenizer_paths(self, config: Config) -> list[Path]:
        """The tokenizer's files: one for a joint vocabulary, else the source's and the target's."""
        return [self.path / name for name in TOKENIZER_FILES[config.data.vocabulary]]

    def save_config(self, config: Config) -> None:
        """Write the resolved config."""
        with writing(self.config_path):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.config_path, toml_text(config).encode())

    def load_config(self, overrides: Mapping[str, str] = NO_OVERRIDES) -> Config:
        """The config that the run was started or last resumed with; dotted overrides take precedence."""
        if not self.config_path.exists():
            raise InputError(f"{self.path}: not a run: it holds no {self.config_path.name}")
        return read_stored(self.config_path, overrides)

    def save_statistics(self, statistics: SourceStatistics) -> None:
        """Write what the run remembers of its source text."""
        with writing(path := self.path / SOURCE_TEXT):
            write_atomically(path, statistics.as_json().encode())

    def load_statistics(self) -> SourceStatistics:
        """What the run remembers of its source text: nothing if an earlier version made it. InputError if damaged."""
        try:
            return SourceStatistics.load(self.path / SOURCE_TEXT)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path / SOURCE_TEXT}: cannot be used ({error}): restore or remove it") from None

    def has_checkpoints(self) -> bool:
        """Whether anything was saved, even if it is incomplete or damaged. Files of a file manager do not count."""
        return self.checkpoints.is_dir() and any(not is_junk(path.name) for path in self.checkpoints.iterdir())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for this process until it ends. InputError names the process that already holds the lock."""
        self.make()
        try:
            stream = (self.path / "lock").open("a+")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}: choose another --run") from None
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read(300).strip() or "another process"
                raise InputError(
                    f"{self.path}: in use by {holder}: wait for it, stop it, or choose another --run"
                ) from None
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
            yield

    def make(self) -> None:
        """Create the directory. InputError if it cannot be created, or is a checkpoint, which holds nothing else."""
        if (self.path / MANIFEST).exists():
            raise InputError(
                f"{self.path}: is a checkpoint, expected a run directory, or a new one: choose another --run"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be a run directory: {error.strerror}") from None

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append a line. Call this before saving the step's checkpoint, so that both agree after any crash."""
        line = json.dumps(record, allow_nan=False)
        with writing(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def read_metrics(self) -> list[dict[str, Any]]:
        """All records, without a last line that a crash cut short."""
        if not self.metrics_path.exists():
            return []
        *lines, _ = read_bytes(self.metrics_path).split(b"\n")
        return [self.read_record(number, line) for number, line in enumerate(lines, 1)]

    def read_record(self, number: int, line: bytes) -> dict[str, Any]:
        """One parsed line of the metrics. InputError if it is damaged."""
        try:
            record = json.loads(line)
            if isinstance(record["step"], int):
                return record
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        raise InputError(f"{self.metrics_path}: line {number} is not a JSON object with a step: repair or remove it")

    def cut_metrics(self, step: int) -> int:
        """The number of lines dropped: those after a step. An incomplete last line is dropped too, but not counted."""
        if not self.metrics_path.exists():
            return 0
        records = self.read_metrics()
        kept = [record for record in records if record["step"] <= step]
        content = "".join(json.dumps(record) + "\n" for record in kept).encode()
        if content != read_bytes(self.metrics_path):
            with writing(self.metrics_path):
                write_atomically(self.metrics_path, content)
        return len(records) - len(kept)
