"""The export command: its report, its errors in one line, and that it overwrites nothing."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from data.errors import InputError
from dragoman.exchange import FORMATS, ctranslate2_spec
from dragoman.files import begin_directory, write_json
from tests.support.paths import ROOT
from tests.support.tiny_export import LINES, export


@pytest.mark.slow
def test_the_report_is_a_table_and_json(run, tmp_path, capsys):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("\n".join(["", *LINES, "ab " * 50]))
    arguments = ["--format", "ctranslate2", "--quantization", "int8", "--lines", tmp_path / "lines"]
    assert export(run, tmp_path / "model", *arguments, "--json", tmp_path / "report.json", "--report", "999") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["lines"], report["left_out"], report["problems"]) == (len(LINES) + 2, 2, [])
    exact, rounded = report["found"]["float32"], report["found"]["int8"]
    assert exact["same_tokens"] == rounded["same_tokens"] == len(LINES)
    assert exact["largest_difference"] < 1e-4 < rounded["largest_difference"]
    assert set(exact["searches"]) == {"beam 5, length penalty 0", "beam 5, length penalty 1"}
    for found in exact["searches"].values():
        assert found["same"] + found["ties"] + found["cut"] == len(LINES)
        assert found["same"] > len(LINES) / 2
    head, columns, first, *_ = capsys.readouterr().out.split("\n")
    assert head.startswith(f"{run} in CTranslate2 ")
    assert head.endswith(f"{len(LINES) + 2} lines (2 left out: blank or too long)")
    assert columns.split() == ["float32", "int8"]
    assert first.split()[-2:] == [str(len(LINES))] * 2
    assert json.loads((tmp_path / "model/dragoman.json").read_text())["quantization"] == "int8"


@pytest.mark.slow
def test_an_export_that_differs_is_not_published_and_exits_with_status_1(run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ctranslate2")
    monkeypatch.setattr(ctranslate2_spec, "EPSILON", 1e-1)
    assert export(run, tmp_path / "model", "--format", "ctranslate2", "--report", "4") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.partial"]
    errors = capsys.readouterr().err
    assert "differs: a token's score differs by " in errors
    assert f"error: not exported: {tmp_path}/model.partial behaves differently from {run}" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "safetensors", "--quantization", "int8"], "--quantization is for --format ctranslate2, found"),
        (["--format", "safetensors", "--report", "3"], "--report is for --format ctranslate2, found --format safeten"),
        (["--format", "ctranslate2", "--report", "-1"], "--report is -1: expected 0 or more"),
        (["--format", "ctranslate2", "--report", "0", "--json", "x"], "--json needs a comparison, and --report 0 leav"),
        (["--format", "ctranslate2", "--report", "0", "--lines", "x"], "--lines needs a comparison, and --report 0"),
        (["--format", "ctranslate2", "--lines", "/dev/null"], "/dev/null: holds no line to compare the export on"),
        (["--format", "safetensors", "--checkpoint", "11"], "no checkpoint '11': expected best, 10, 20, or a path"),
    ],
)
def test_bad_input_is_reported_in_one_line(run, tmp_path, arguments, message):
    for package in ("ctranslate2", "safetensors"):
        pytest.importorskip(package)
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "model", *arguments)
    assert not list(tmp_path.iterdir())


def test_lines_of_which_none_can_be_compared_are_refused_as_an_empty_file_is(run, tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("\n \n" + "ab " * 50 + "\nab\n")
    options = ["--format", "ctranslate2", "--lines", tmp_path / "lines", "--report", "3"]
    with pytest.raises(InputError, match="lines: holds no line to compare the export on, for its first 3 are blank or"):
        export(run, tmp_path / "model", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


def test_a_comparison_overwrites_nothing_and_is_not_written_among_the_exported_files(run, tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "lines").write_text("ab\n")
    options = ["--format", "ctranslate2", "--lines", tmp_path / "lines", "--json"]
    for json_file, message in (
        (run / "config.toml", r"--json .* would overwrite .*config\.toml, a part of the run: choose another file"),
        (tmp_path / "lines", "--json .* would overwrite the file of --lines: choose another file"),
        (tmp_path / "model/x.json", "--json .*x.json is inside DIRECTORY, which holds the export alone: choose"),
        (tmp_path / "model.partial/x.json", "--json .*x.json is inside DIRECTORY"),
        (tmp_path / "lines/x.json", r"x\.json: cannot be written: (File exists|Not a directory)"),
        (tmp_path / "x.json.gz", "--json .*x.json.gz would be plain text in a file named as compressed: leave .gz out"),
    ):
        with pytest.raises(InputError, match=message):
            export(run, tmp_path / "model", *options, json_file)
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]
    moved = shutil.copytree(run, tmp_path / "run")
    recipe = (moved / "config.toml").read_text()
    recipe = recipe.replace('corpus = "toy"', 'corpus = "files"').replace("validation = []", 'validation = [["v.tsv"]]')
    (moved / "config.toml").write_text(recipe.replace('directory = ""', f'directory = "{tmp_path}"'))
    (tmp_path / "v.tsv").write_text("a b\tb a\n")
    with pytest.raises(InputError, match=r"--json .*v\.tsv would overwrite the file of data\.validation"):
        export(moved, tmp_path / "model", "--format", "ctranslate2", "--json", tmp_path / "v.tsv")


def test_a_directory_that_ctranslate2_could_not_open_is_refused(run, tmp_path):
    pytest.importorskip("ctranslate2")
    with pytest.raises(InputError, match="model\udcff: the path of a CTranslate2 model must be UTF-8: choose another"):
        export(run, os.fsdecode(b"%s/model\xff" % bytes(tmp_path)), "--format", "ctranslate2")
    assert not list(tmp_path.iterdir())


def test_bad_input_ends_the_program_with_status_2(run, tmp_path):
    command = [sys.executable, "-m", "dragoman", "export", run, tmp_path / "model", "--format", "onnx"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: --format: invalid choice: 'onnx'")
    assert done.stderr.count(b"\n") == 1


def test_a_missing_validation_set_is_reported_with_the_options_to_use(run, tmp_path):
    pytest.importorskip("ctranslate2")
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    recipe = (moved / "config.toml").read_text()
    (moved / "config.toml").write_text(recipe.replace('corpus = "toy"', 'corpus = "files"'))
    with pytest.raises(InputError, match=r"; or compare other lines with --lines FILE, or none with --report 0$"):
        export(moved, tmp_path / "model", "--format", "ctranslate2")


@pytest.mark.parametrize("package", ["ctranslate2", "safetensors"])
def test_a_missing_package_is_reported_with_the_command_that_installs_it(package, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"needs the package {package}, which is not installed: pip install '{package}"
    ):
        export(run, tmp_path / "model", "--format", package)


def test_an_export_overwrites_nothing(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for name in ("full", "full/file"):
        with pytest.raises(InputError, match=f"{name}: exists already, expected a new or empty directory: choose an"):
            begin_directory(tmp_path / name)
    with pytest.raises(InputError, match=r"file/model\.partial: cannot be written: (Not a directory|File exists)"):
        begin_directory(tmp_path / "full" / "file" / "model")


def test_a_comparison_that_cannot_be_written_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"report\.json: cannot be written: (File exists|Not a directory)"):
        write_json(tmp_path / "file" / "report.json", {})


def test_every_format_has_an_extra_of_its_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(FORMATS) <= set(extras["optional-dependencies"])
