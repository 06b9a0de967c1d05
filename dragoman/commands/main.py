"""The console command: `dragoman train|translate|evaluate|export ...`, and the programs of these names."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from dragoman.commands.huge_pages import HUGE_PAGES, KEPT_PAGES, use_huge_pages


class Command(NamedTuple):
    """A command: the module whose `main(arguments)` runs it, and how its process is set up before JAX is imported."""

    module: str
    summary: str
    allocator: Sequence[str] = HUGE_PAGES
    has_device_per_core: bool = False  # each core of a CPU is a device of its own, which is faster for search


COMMANDS = {
    "train": Command("dragoman.commands.train", "train a model, or resume a run", KEPT_PAGES),
    "translate": Command("dragoman.commands.translate", "translate text, line by line", has_device_per_core=True),
    "evaluate": Command("dragoman.commands.evaluate", "score runs on a test set", has_device_per_core=True),
    "export": Command("dragoman.commands.export", "write a run for CTranslate2, or as safetensors"),
}


def main() -> NoReturn:
    """The console command: runs the command named by the first argument, and exits with its status."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        sys.exit(0)
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}: expected {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv[:2] = [f"dragoman {name}"]
    run(name)


def usage() -> str:
    """What the commands are."""
    commands = "\n".join(f"  {name:10} {command.summary}" for name, command in COMMANDS.items())
    return f"usage: dragoman COMMAND ...\n\ncommands:\n{commands}\n\n`dragoman COMMAND --help` explains each of them."


def run(name: str) -> NoReturn:
    """Runs one command on the arguments of this process, and exits with its status."""
    command = COMMANDS[name]
    use_huge_pages(command.allocator)

    from dragoman.commands.options import run_main
    from transformer.devices.compilation import use_cores

    if command.has_device_per_core:
        use_cores()
    run_main(importlib.import_module(command.module).main)
