"""A compilation that takes long is announced while it lasts, and a short one is not."""

import time

import jax
import pytest

from dragoman.commands.compiling import LOWERED, announcing_compilation
from dragoman.training.compilations import COMPILED, listener


@pytest.mark.parametrize(("seconds", "times"), [(0.0, 0), (0.2, 1)])
def test_only_a_long_compilation_is_announced_and_only_once(seconds, times, capsys):
    with announcing_compilation("compiling", after=0.1):
        for _ in range(2):
            jax.monitoring.record_event_duration_secs(LOWERED, 0.0)
            time.sleep(seconds)
            jax.monitoring.record_event_duration_secs(COMPILED, seconds)
    time.sleep(0.15)
    assert capsys.readouterr().err == "compiling\n" * times


def test_jax_reports_the_events_that_are_waited_for():
    seen = []

    def listen(event, duration, **about):
        seen.append(event)

    with listener(listen):
        jax.jit(lambda x: x * 3.25 + 17)(1.5)
    assert seen.index(LOWERED) < seen.index(COMPILED)
