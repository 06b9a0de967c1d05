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
from dragoman.runs.manifest import FORMAT, Manifest
from dragoman.runs.run import Run, check_config, check_hashes, config_hash, file_hash
from transformer.config import Config


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


def test_the_config_of_a_run_reads_back_equal(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "run")
    for width in (64, 128):
        run.save_config(config(model={"width": width}))
        assert run.load_config() == config(model={"width": width})
    assert sorted(path.name for path in run.path.iterdir()) == ["config.toml"]


def test_a_directory_without_a_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^\S+/none: not a run: it holds no config.toml$"):
        Run(tmp_path / "none").load_config()


def test_the_tokenizer_has_one_file_for_a_vocabulary(tmp_path: Path) -> None:
    separate = config(data={"vocabulary": "separate"}, model={"tied": "none"})
    assert [path.name for path in Run(tmp_path).tokenizer_paths(config())] == ["tokenizer.model"]
    names = [path.name for path in Run(tmp_path).tokenizer_paths(separate)]
    assert names == ["tokenizer.source.model", "tokenizer.target.model"]


def test_a_run_resumes_with_other_lengths_devices_and_search_only(tmp_path: Path) -> None:
    other = config(
        training={"steps": 5, "log_every": 1, "save_every": 2, "patience": 3, "keep_last": 1, "keep_best": 1},
        devices={"fsdp": 2},
        decoding={"beam": 1},
        data={"directory": "elsewhere"},
    )
    check_config(config(), other, where=tmp_path)
    with pytest.raises(
        InputError, match=r"model.width is 512 in this run, found 256: set it back, or start another run"
    ):
        check_config(config(), config(model={"width": 256}, training={"seed": 3}), where=tmp_path)


def hold(run: Run) -> subprocess.Popen[bytes]:
    """Another process that holds the lock of a run until it is killed."""
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


def test_the_config_hash_covers_what_parameters_mean_and_no_more() -> None:
    same = config(model={"dropout": 0.3, "precision": "float32"}, training={"steps": 3}, data={"vocabulary_size": 9})
    assert config_hash(config()) == config_hash(same)
    others = [{"width": 256}, {"tied": "none"}, {"norm_position": "post"}, {"heads": 4}]
    hashes = {config_hash(config(model=model)) for model in others} | {config_hash(config())}
    separate = config(model={"tied": "none"}, data={"vocabulary": "separate"})
    assert len(hashes | {config_hash(separate)}) == 6


def test_a_checkpoint_made_with_another_config_tokenizer_or_data_is_refused(tmp_path: Path) -> None:
    made = {"config": "a" * 64, "tokenizer": "b" * 64, "data": "c" * 64}
    manifest = Manifest(
        format=FORMAT,
        step=1,
        averaged=[],
        files=[],
        hashes=made,
        parameters_sha256="",
        optimizer_sha256=None,
        validation=None,
        progress={},
    )
    check_hashes(manifest, {"config": "a" * 64, "tokenizer": "b" * 64}, where=tmp_path)
    for kind in made:
        with pytest.raises(InputError) as caught:
            check_hashes(manifest, made | {kind: "d" * 64}, where=tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: was made with another {kind}: SHA-256 {made[kind][:12]}, found dddddddddddd: "
            f"put the original {kind} back, or use another checkpoint"
        )


def test_the_hash_of_files_depends_on_their_contents_and_order(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    assert len({file_hash([a]), file_hash([b]), file_hash([a, b]), file_hash([b, a])}) == 4
    with pytest.raises(InputError, match=r"/c: no such file$"):
        file_hash([tmp_path / "c"])
