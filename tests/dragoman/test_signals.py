"""Signals set a flag, the first determines the status, and a second one ends the program even in compiled code."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from dragoman import signals
from dragoman.signals import Interrupted, StopRequest
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGUSR1, 138), (signal.SIGXCPU, 152)],
)
def test_a_signal_sets_a_flag_and_the_first_one_determines_the_status(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored, as under nohup")
    with StopRequest() as stop:
        assert (stop.requested, stop.exit_status) == (False, 0)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.requested, stop.exit_status) == (True, status)
    assert signal.getsignal(number) is before


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_interrupts_a_read_that_may_block_forever() -> None:
    read, write = os.pipe()
    with StopRequest() as stop:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        with pytest.raises(Interrupted), stop.interrupting():
            os.read(read, 1)
        timer.join()
        assert stop.exit_status == 143
        os.kill(os.getpid(), signal.SIGTERM)  # outside, the signal only sets the flag
        with pytest.raises(Interrupted), stop.interrupting():
            pytest.fail("begun despite a request to stop")
    os.close(read)
    os.close(write)


def test_nothing_of_a_request_is_left_behind() -> None:
    """Neither its thread nor its pipe, so that programs may make many."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with StopRequest():
        assert signal.set_wakeup_fd(-1) >= 0
    deadline = time.monotonic() + 5
    while any(thread.name == "signals" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "signals" for thread in threading.enumerate())
    # There may be fewer than before: other tests leave files that are closed when Python collects garbage.
    assert before is None or len(os.listdir("/proc/self/fd")) <= before


# A lock that another thread never releases stands for compiled code: Python cannot run a signal handler meanwhile.
STUCK = """
import ctypes, sys
from dragoman import signals
signals.APART = 0.3
with signals.StopRequest() as stop:
    {work}
"""
BLOCKED = "print('begun', flush=True); ctypes.CDLL(None).sleep(30); ctypes.CDLL(None).sleep(30)"


def stuck(work: str) -> subprocess.Popen[str]:
    """A program in the midst of C code that lasts a minute, begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_where_nothing_is_to_be_saved_a_signal_ends_the_program_in_the_midst_of_compiled_code() -> None:
    process = stuck("with stop.ending_at_once(): " + BLOCKED)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=10)[1]
    assert (process.returncode, errors.strip()) == (
        143,
        "stopped by SIGTERM: nothing was left to save; run the same command again",
    )


def test_elsewhere_it_is_announced_and_a_second_one_ends_the_program() -> None:
    process = stuck("while True: ctypes.PyDLL(None).usleep(1); " + BLOCKED)
    assert process.stderr is not None
    for number in (signal.SIGINT, signal.SIGINT):  # the same request, sent twice
        process.send_signal(number)
    assert process.stderr.readline() == (
        "SIGINT: stopping as soon as nothing is lost by it; a second SIGINT ends the program at once\n"
    )
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)  # another request, such as a cluster's last one
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=10)[1]
    assert (process.returncode, errors.strip()) == (
        130,
        "stopped by SIGINT: what was not saved yet is lost; run the same command again",
    )


def test_an_earlier_request_ends_the_program_where_nothing_is_to_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(Exception):
        pass

    def ended(number: int, consequence: str) -> None:
        raise Ended(number, consequence)

    monkeypatch.setattr(signals, "end", ended)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Ended, match="nothing was left to save"), stop.ending_at_once():
            pytest.fail("begun despite a request to stop")
