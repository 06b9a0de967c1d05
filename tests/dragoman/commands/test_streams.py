"""Reports go on when their terminal, pipe or disk does not, and lines of progress are few where nobody watches."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from dragoman import messages
from dragoman.messages import ProgressBar, show_seconds
from tests.support.paths import ROOT

TALKATIVE = """
import sys
from dragoman.commands.streams import keep_reporting
keep_reporting(output={output})
from dragoman.messages import say, tell, warn
for number in range(3):
    say(f"{{number}} größer"); tell("told"); warn("warned")
open(sys.argv[1], "w").write("done")
"""


def talk(tmp_path: Path, *, output: bool = True, **streams: object) -> tuple[int, bool]:
    """The exit status of a program that reports, and whether it got to its end."""
    script = TALKATIVE.format(output=output)
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "end"], cwd=ROOT, **streams)  # type: ignore[call-overload]
    return process.wait(30), (tmp_path / "end").exists()


def test_a_report_goes_on_when_its_terminal_is_gone(tmp_path: Path) -> None:
    main, terminal = os.openpty()
    os.close(main)
    assert talk(tmp_path, stdout=terminal, stderr=terminal) == (0, True)
    os.close(terminal)


def test_a_report_goes_on_when_its_reader_or_its_disk_is_gone(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open("/dev/full", "wb") as full:
        assert talk(tmp_path, stdout=write, stderr=full) == (0, True)
    os.close(write)


def test_output_that_is_no_report_still_fails_when_its_reader_is_gone(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    assert talk(tmp_path, output=False, stdout=write, stderr=subprocess.DEVNULL)[1] is False
    os.close(write)


def test_output_that_is_no_report_has_escapes_for_what_cannot_be_written(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        assert talk(tmp_path, output=False, stdout=out, stderr=subprocess.DEVNULL, env=environment) == (0, True)
    assert (tmp_path / "out").read_text() == "".join(f"{number} gr\\xf6\\xdfer\n" for number in range(3))


def test_a_report_is_readable_in_any_locale_and_closed_streams_harm_no_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        assert talk(tmp_path, stdout=out, stderr=subprocess.STDOUT, env=environment) == (0, True)
    assert (tmp_path / "out").read_text().startswith("0 gr\\xf6\\xdfer\ntold\nwarning: warned\n1 gr")
    script = TALKATIVE.format(output=True)
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, script, tmp_path / "closed"],
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, (tmp_path / "closed").read_text()) == (0, "done")


def test_progress_in_a_log_is_a_few_lines_at_growing_intervals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job of an hour, 10 lines a second: the intervals double from 10 s to 640 s.

    The first lines took a minute, because a program was compiled for them, which does not count for the time left.
    """
    now = [-60.0]
    monkeypatch.setattr(messages.time, "monotonic", lambda: now[0])
    with ProgressBar("translate", total=36010) as progress:
        progress.add()  # before the first search, for blank lines: there are none
        for now[0] in map(float, range(1, 3602)):
            progress.add(lines=10, tokens=200)
    lines = capsys.readouterr().err.split("\n")[:-1]
    assert lines[0] == "translate: 20 of 36,010 lines, 10.0 lines/s, 200 tokens/s, 60 min left"
    seconds = [int(line.split()[1].replace(",", "")) // 10 for line in lines]
    assert seconds == [2, 22, 62, 142, 302, 622, 1262, 1902, 2542, 3182]
    assert not any("\r" in line for line in lines)


def test_a_bar_is_drawn_only_at_a_terminal_that_can_draw_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal may not know its width, as in some containers, or only add lines, as in some editors."""
    main, terminal = os.openpty()
    with open(terminal, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        assert not messages.is_watched()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        assert messages.is_watched()
        monkeypatch.setenv("TERM", "dumb")
        assert not messages.is_watched()
        monkeypatch.undo()
    os.close(main)
    os.close(terminal)


def test_a_short_job_reports_no_progress_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("validate", total=5000) as progress:
        progress.add(lines=5000, tokens=9)
    assert capsys.readouterr().err == ""


def test_a_time_is_shown_as_people_say_it() -> None:
    assert [show_seconds(seconds) for seconds in (0.0, 45.4, 89.0, 90.0, 720.0, 5399.0, 5400.0, 36000.0)] == [
        "0 s", "45 s", "89 s", "2 min", "12 min", "90 min", "1.5 h", "10.0 h",
    ]  # fmt: skip
