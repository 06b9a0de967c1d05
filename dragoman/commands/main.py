"""The console command `dragoman train|translate|...`; the programs at the top, such as train.py, use it.

To add a command, write a module with a `main(arguments)` in this package, and add its line to COMMANDS.
"""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from dragoman import __version__
from dragoman.commands.huge_pages import HUGE_PAGES, KEPT_PAGES, use_huge_pages
from dragoman.commands.streams import keep_reporting
from dragoman.own_packages import use_own_packages


class Command(NamedTuple):
    """A command: the module whose `main(arguments)` runs it, and the process setup that must precede importing JAX."""

    module: str
    summary: str
    allocator: Sequence[str] = HUGE_PAGES
    has_device_per_core: bool = False  # makes each CPU core a separate device, which is faster for search
    prints_reports: bool = False  # its output only reports on its work, which goes on if nobody can read the output


COMMANDS = {
    "train": Command("dragoman.commands.train", "train a model, or resume a run", KEPT_PAGES, prints_reports=True),
    "translate": Command("dragoman.commands.translate", "translate text, line by line", has_device_per_core=True),
    "generate": Command("dragoman.commands.generate", "write text without a source, with a decoder-only run"),
    "fill": Command("dragoman.commands.fill", "fill masked places of a text, with a denoising encoder"),
    "explain": Command("dragoman.commands.explain", "follow one sentence through a run, part by part"),
    "evaluate": Command("dragoman.commands.evaluate", "score runs on a test set", has_device_per_core=True),
    "prepare": Command("dragoman.commands.prepare", "prepare the text of a recipe, and say what is in it"),
    "cache": Command("dragoman.commands.cache", "list, check or clear the cache of prepared text"),
    "export": Command("dragoman.commands.export", "write a run for CTranslate2, or as safetensors"),
}


def main() -> NoReturn:
    """Run the command that the first argument names, and exit with its status."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        sys.exit(0)
    if name == "--version":
        print(f"dragoman {__version__}")
        sys.exit(0)
    use_own_packages()
    if name not in COMMANDS:
        with exiting_on_interrupt():
            from dragoman.messages import tell
            from dragoman.runs.recipe import nearest
        tell(f"error: unknown command {name!r}{nearest(name, COMMANDS)}")
        sys.exit(2)
    sys.argv[:2] = [f"dragoman {name}"]
    run(name)


def usage() -> str:
    """What `dragoman --help` prints."""
    commands = "\n".join(f"  {name:10} {command.summary}" for name, command in COMMANDS.items())
    return (
        f"usage: dragoman COMMAND ...\n\ncommands:\n{commands}\n\n`dragoman COMMAND --help` explains each of them; "
        "`dragoman --version` prints the version."
    )


def run(name: str) -> NoReturn:
    """Run one command on the arguments of this process, and exit with its status."""
    command = COMMANDS[name]
    use_own_packages()
    use_huge_pages(command.allocator)
    keep_reporting(output=command.prints_reports)
    with exiting_on_interrupt():
        from dragoman.commands.options import run_main
        from transformer.devices.compilation import use_cores

        if command.has_device_per_core:
            use_cores()
        program = importlib.import_module(command.module).main
    run_main(program)


@contextlib.contextmanager
def exiting_on_interrupt() -> Iterator[None]:
    """A context in which Ctrl-C ends the process at once with status 130: imports take seconds and save nothing."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where interrupts are ignored, as in a shell's background
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
