"""The console command: its subcommands, help and version, and an interrupt during startup."""

import os
import subprocess
import sys

import pytest

import dragoman
from dragoman.commands.main import COMMANDS, main
from tests.support.paths import ROOT

ENVIRONMENT = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}  # without the restart for huge pages


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Runs the console command in this process; returns its status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["/anywhere/bin/dragoman", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    output, errors = capsys.readouterr()
    return caught.value.code, output, errors


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_with_what_it_does(arguments, monkeypatch, capsys):
    status, output, errors = call(monkeypatch, capsys, *arguments)
    assert (status, errors) == (0, "")
    assert output.startswith("usage: dragoman COMMAND ...\n")
    for name, command in COMMANDS.items():
        assert f"  {name:10} {command.summary}\n" in output


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    assert call(monkeypatch, capsys, "--version") == (0, f"dragoman {dragoman.__version__}\n", "")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "; did you mean train?"),
        ("evalaute", "; did you mean evaluate?"),
        ("xyz", "; known are train, translate, generate, fill, explain, evaluate, prepare, cache, export"),
        ("", "; known are train, translate, generate, fill, explain, evaluate, prepare, cache, export"),
    ],
)
def test_an_unknown_command_is_reported_in_one_line_with_the_nearest(name, hint, monkeypatch, capsys):
    assert call(monkeypatch, capsys, name) == (2, "", f"error: unknown command {name!r}{hint}\n")


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The result of a program that has run to its end in a separate process."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


OTHERS = {"data.py": "raise SystemExit(9)", "transformer.py": "", "train.py": "", "data/__init__.py": "", "data/x": ""}


@pytest.mark.parametrize("names", [("data.py", "transformer.py", "train.py"), ("data/__init__.py",), ("data/x",)])
def test_files_of_our_names_in_the_working_directory_or_on_the_path_are_not_imported(names, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(OTHERS[name], encoding="utf-8")
    environment = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for arguments in (["-m", "dragoman", "translate", "none"], [str(ROOT / "translate.py"), "none"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (2, "error: none: no such run directory\n")


def test_a_script_beside_a_file_of_our_names_is_told_which_file_it_is(tmp_path):
    (tmp_path / "data.py").write_text("", encoding="utf-8")
    (tmp_path / "script.py").write_text("from dragoman import Translator", encoding="utf-8")
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.strip().split("\n")[-1] == (
        f"ImportError: dragoman has a package data, and Python finds {tmp_path}/data.py in its place: "
        "rename that file, or take its directory from sys.path"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_help_under_the_name_it_was_called_by(name):
    done = start("-m", "dragoman", name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: dragoman {name} [-h]")


def test_the_programs_at_the_top_go_by_their_own_names_and_fail_as_the_commands_do():
    assert start("train.py", "--help").stdout.startswith("usage: train.py [-h]")
    for program in (["train.py"], ["-m", "dragoman", "train"]):
        done = start(*program, "no.toml", "--run", "/no/run")
        assert (done.returncode, done.stderr) == (2, "error: no.toml: no such file\n")


@pytest.mark.parametrize("name", ["generate", "fill", "explain"])
def test_text_that_is_not_utf_8_is_rejected_in_one_line(name):
    done = start("-m", "dragoman", name, str(ROOT / "tests/golden/run"), os.fsdecode(b"a \xff"))
    assert done.returncode == 2
    assert done.stderr.endswith("error: the text is not UTF-8, from character 3 on: type it in UTF-8\n")


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["translate.py", "--help"]
from dragoman.commands.main import run
run("translate")
"""


@pytest.mark.parametrize("module", ["jax", "dragoman.commands.translate"])
def test_an_interrupt_while_modules_are_imported_ends_quietly_with_status_130(module):
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # under nohup it is ignored
    done = start("-c", heeding + INTERRUPTED.format(module=module))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_interrupt_that_the_shell_ignores_stays_ignored():
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = start("-c", ignoring + INTERRUPTED.format(module="jax"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: translate.py ")
