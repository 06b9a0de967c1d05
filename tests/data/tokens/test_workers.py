import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest

from data.errors import InputError
from data.tokens.workers import Workers
from tests.support.paths import ROOT

PARENT = """
import sys
from data.tokens.workers import Workers
workers = Workers(abs, 2)
print([future.result() for future in workers.submit([-1, -2])], *[w._process.pid for w in workers._workers], flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_come_in_order_and_large_ones_do_not_block(count):
    with closing(Workers(bytes, count)) as workers:
        results = [future.result() for future in workers.submit([10**6 + n for n in range(7)])]
    assert list(map(len, results)) == [10**6 + n for n in range(7)]


def test_an_error_of_the_function_is_raised_here_and_the_process_continues():
    with closing(Workers(int, 1)) as workers:
        failed, good = workers.submit(["x", "7"])
        with pytest.raises(ValueError, match="invalid literal"):
            failed.result()
        assert good.result() == 7


def test_a_process_that_ends_by_itself_is_an_error_of_one_line():
    with closing(Workers(os._exit, 1)) as workers:
        (future,) = workers.submit([9])
        with pytest.raises(InputError, match=r"ended by itself \(status 9\): if memory was short, set data\.workers"):
            future.result()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_their_parent_and_not_by_a_signal_to_the_group(number):
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with process:
        answer, *numbers = process.stdout.readline().rsplit(" ", 2)
        assert answer == "[1, 2]"
        workers = list(map(int, numbers))
        for worker in workers:
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        time.sleep(0.2)
        assert all(is_alive(worker) for worker in workers)
        process.send_signal(number)
    end = time.monotonic() + 20
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
