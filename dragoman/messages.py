"""Lines on standard output and standard error, and a report of progress that they do not garble."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType

import jax
from tqdm import tqdm

PATIENCE = 10.0
"""Seconds before the first line on progress where standard error is not a terminal. Each interval doubles the one
before, up to LONGEST_PATIENCE, so that the log of a long job stays short."""

LONGEST_PATIENCE = 640.0


def say(text: str) -> None:
    """Print one line of a report on standard output. In a job, only process 0 prints."""
    if jax.process_index() == 0 and sys.stdout is not None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line on standard error, marked as a warning. In a job, only process 0 prints."""
    if jax.process_index() == 0:
        tell(f"warning: {text}")


@functools.cache
def warn_once(text: str) -> None:
    """As `warn`, but only the first time that this process has this to say."""
    warn(text)


def tell(text: str) -> None:
    """Print one line on standard error, in every process."""
    if sys.stderr is not None:
        tqdm.write(text, file=sys.stderr)


def is_watched() -> bool:
    """Whether standard error is a terminal of known width, where a progress bar can be drawn over itself."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


def show_seconds(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class ProgressBar:
    """Lines done, lines and tokens a second, and the time left if the total is known.

    At a terminal this is a bar. Elsewhere, such as in a log file, it is a line now and then. Without a label there is
    neither.
    """

    def __init__(self, label: str, *, total: int | None, done: int = 0):
        self._label, self._total, self._done = label, total, done
        self._start, self._timed, self._tokens = 0.0, 0, 0  # when the first lines were done, and what came after them
        self._wait, self._due = PATIENCE, time.monotonic() + PATIENCE
        self._is_bar = bool(label) and is_watched()
        self._bar = tqdm(total=total, initial=done, desc=label, unit="line", disable=not self._is_bar, mininterval=1.0)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, *, lines: int = 0, tokens: int = 0) -> None:
        """Count lines as done, and the tokens of their translations. The first ones may compile: not timed."""
        if not lines and not tokens:
            return
        now = time.monotonic()
        self._done += lines
        if not self._start:
            self._start = now
            self._bar.unpause()
        else:
            self._timed, self._tokens = self._timed + lines, self._tokens + tokens
        seconds = max(now - self._start, 1e-3)
        if self._is_bar:
            self._bar.set_postfix_str(f"{self._tokens / seconds:.0f} tokens/s", refresh=False)
            self._bar.update(lines)
        elif self._label and now >= self._due and self._timed and seconds >= 1.0:
            tell(self._line(seconds))
            self._wait = min(2 * self._wait, LONGEST_PATIENCE)
            self._due = now + self._wait

    def _line(self, seconds: float) -> str:
        """The progress in a line, this many seconds after the first lines were done."""
        total, left = "", ""
        if self._total is not None:
            total = f" of {self._total:,}"
            left = f", {show_seconds((self._total - self._done) * seconds / self._timed)} left"
        return (
            f"{self._label}: {self._done:,}{total} lines, {self._timed / seconds:.1f} lines/s, "
            f"{self._tokens / seconds:.0f} tokens/s{left}"
        )


@contextlib.contextmanager
def progress(label: str, *, total: int) -> Iterator[Callable[[int, int], None]]:
    """A function that adds lines and tokens to a ProgressBar, which appears with the first of them."""
    with contextlib.ExitStack() as stack:
        bars: list[ProgressBar] = []

        def add(lines: int, tokens: int) -> None:
            if not bars:
                bars.append(stack.enter_context(ProgressBar(label, total=total)))
            bars[0].add(lines=lines, tokens=tokens)

        yield add
