"""The run directory: config, lock, metrics, hashes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.text.statistics import SourceStatistics
from dragoman.files import file_hash
from dragoman.runs.run import Run
from dragoman.translation.marks import Marks
from transformer.config import Config


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("config.toml", lambda run: run.save_config(config())),
        ("source_text.json", lambda run: run.save_statistics(SourceStatistics())),
        ("calibration.json", lambda run: Marks(0.8, 0.4, "abc").save(run.path)),
    ],
)
def test_a_file_of_a_run_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, name: str, write) -> None:
    (tmp_path / f"{name}.partial").mkdir()
    with pytest.raises(InputError, match=rf"^{tmp_path / name}: cannot be written: Is a directory$"):
        write(Run(tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_metrics_that_do_not_fit_on_the_disk_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"metrics\.jsonl: cannot be written: No space left on device$"):
        Run(tmp_path).append_metrics({"step": 1})


def test_the_config_of_a_run_reads_back_equal(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "run")
    for width in (64, 128):
        run.save_config(config(model={"width": width}))
        assert run.load_config() == config(model={"width": width})
    assert sorted(path.name for path in run.path.iterdir()) == ["config.toml"]


def test_a_directory_without_a_config_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^\S+/none: not a run: it holds no config.toml$"):
        Run(tmp_path / "none").load_config()


def test_a_path_with_odd_bytes_is_not_one_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run\udcff: the path of a run must be UTF-8: rename it, or name a link to it"):
        Run(tmp_path / os.fsdecode(b"run\xff"))


def test_the_tokenizer_has_one_file_for_a_vocabulary(tmp_path: Path) -> None:
    separate = config(data={"vocabulary": "separate"}, model={"tied": "none"})
    assert [path.name for path in Run(tmp_path).tokenizer_paths(config())] == ["tokenizer.model"]
    names = [path.name for path in Run(tmp_path).tokenizer_paths(separate)]
    assert names == ["tokenizer.source.model", "tokenizer.target.model"]


def hold(run: Run) -> subprocess.Popen[bytes]:
    """Another process, which holds the lock of a run until it is killed."""
    program = "import sys, time\nfrom dragoman.runs.run import Run\n"
    program += "with Run(sys.argv[1]).lock():\n print(flush=True)\n time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_second_run_is_refused_naming_the_first_whose_death_frees_the_lock(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with hold(run) as process:
        with pytest.raises(InputError) as caught, run.lock():
            pass
        holder = f"process {process.pid} on {socket.gethostname()}"
        assert str(caught.value) == f"{run.path}: in use by {holder}: wait for it, stop it, or choose another --run"
        process.send_signal(signal.SIGKILL)
    with run.lock():
        assert (run.path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
        with pytest.raises(InputError, match=f"in use by process {os.getpid()} on"), run.lock():
            pass
    with run.lock():
        pass


def test_a_file_in_the_place_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"^\S+/file: cannot be a run directory: File exists$"),
        Run(tmp_path / "file").lock(),
    ):
        pass


def test_metrics_are_cut_to_a_step_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert (run.read_metrics(), run.cut_metrics(3)) == ([], 0)
    records = [{"step": step, "loss": 0.1 * step, "note": "é\u2028"} for step in (1, 2, 3, 4)]
    for record in records:
        run.append_metrics(record)
    with run.metrics_path.open("a") as stream:
        stream.write('{"step": 5, "lo')
    assert run.read_metrics() == records
    before = run.metrics_path.read_bytes()
    assert run.cut_metrics(2) == 2
    assert run.read_metrics() == records[:2]
    assert before.startswith(run.metrics_path.read_bytes())
    run.append_metrics(records[2])
    assert run.read_metrics() == records[:3]
    assert run.cut_metrics(3) == 0


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1}', '{"step": "x"}', "3", "[" * 100_000])
def test_a_damaged_line_of_the_metrics_is_named(tmp_path: Path, line: str) -> None:
    run = Run(tmp_path)
    run.metrics_path.write_text(json.dumps({"step": 1}) + "\n" + line + "\n")
    with pytest.raises(
        InputError, match=r"metrics.jsonl: line 2 is not a JSON object with a step: repair or remove it$"
    ):
        run.cut_metrics(5)


def test_a_directory_in_the_place_of_the_metrics_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.metrics_path.mkdir()
    with pytest.raises(InputError, match=r"metrics\.jsonl: is a directory, expected a file$"):
        run.cut_metrics(5)


def test_the_hash_of_files_depends_on_their_contents_and_order(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    assert len({file_hash([a]), file_hash([b]), file_hash([a, b]), file_hash([b, a])}) == 4
    with pytest.raises(InputError, match=r"/c: no such file$"):
        file_hash([tmp_path / "c"])
