"""Signals set a flag, the first determines the status, and they interrupt a read that may block forever."""

import os
import signal
import threading

import pytest

from dragoman.signals import Interrupted, StopRequest


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_sets_a_flag_and_the_first_one_determines_the_status(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert (stop.requested, stop.exit_status) == (False, 0)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.requested, stop.exit_status) == (True, status)
    assert signal.getsignal(number) is before


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
