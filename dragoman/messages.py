"""Lines on standard output and standard error, and a progress bar that they do not garble."""

import functools
import sys
from types import TracebackType

import jax
from tqdm import tqdm

MANY = 2000  # with at least so many lines, show progress even if standard error is not a terminal
PATIENCE = 10.0  # seconds between updates of the bar in that case, and before the first if the total is unknown


def say(text: str) -> None:
    """Print one line of a report on standard output. In a job, only process 0 prints."""
    if jax.process_index() == 0:
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
    tqdm.write(text, file=sys.stderr)


class ProgressBar:
    """A progress bar with lines done, lines and tokens a second, and the time left if the total is known.

    Without a label there is no bar."""

    def __init__(self, label: str, *, total: int | None, done: int = 0):
        is_watched = sys.stderr is not None and sys.stderr.isatty()
        is_hidden = not label or not (is_watched or total is None or total >= MANY)
        self._tokens = 0
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=label,
            unit="line",
            disable=is_hidden,
            mininterval=1.0 if is_watched else PATIENCE,
            delay=0 if is_watched or total is not None else PATIENCE,
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, *, lines: int = 0, tokens: int = 0) -> None:
        """Count lines as done, and the tokens of their translations."""
        self._tokens += tokens
        if not self._bar.disable:
            self._bar.set_postfix_str(
                f"{self._tokens / max(self._bar.format_dict['elapsed'], 1e-3):.0f} tokens/s", refresh=False
            )
            self._bar.update(lines)
