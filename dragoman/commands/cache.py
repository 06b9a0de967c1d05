"""Lists the cache of prepared text and of evaluations, checks every byte of it, or clears it.

Training and evaluating fill the cache by themselves, and whatever is removed is made again when it is needed.
"""

import math
import time
from pathlib import Path

from data.errors import InputError
from data.storage.cache import DAY, Cache, Entry
from data.storage.checksums import find_damage
from dragoman.commands.options import ArgumentParser
from dragoman.messages import say

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def main(arguments: list[str]) -> int:
    """The exit status: 1 if --check finds a damaged entry."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--directory", default="", help="the cache; default: that of DRAGOMAN_DATA_CACHE, else ~/.cache/dragoman/data"
    )
    parser.add_argument("--check", action="store_true", help="read every entry in full, and report damaged ones")
    parser.add_argument("--clear", action="store_true", help="remove entries, and what killed builds left")
    parser.add_argument("--unused-days", type=float, metavar="N", help="with --clear: only entries not used for N days")
    options = parser.parse_args(arguments)
    if options.unused_days is not None and not options.clear:
        raise InputError("--unused-days says what --clear removes: add --clear, or leave it out")
    if options.unused_days is not None and not 0 <= options.unused_days < math.inf:
        raise InputError(f"--unused-days is {options.unused_days}: expected a number of days, 0 or more")
    if options.clear and options.check:
        raise InputError("--clear with --check: give one of them; --check says which entries are damaged")
    cache = Cache(options.directory)
    if options.clear:
        removed = cache.clear(unused_days=options.unused_days or 0.0)
        say(f"{cache.directory}: removed {summary(removed)}")
        return 0
    entries = cache.entries()
    damaged = [show(entry, check=options.check) for entry in entries]
    say(f"{cache.directory}: {summary(entries)}")
    return int(any(damaged))


def show(entry: Entry, *, check: bool) -> str:
    """Prints the line of an entry, and returns what is wrong with it, if it is checked."""
    damage = find_damage(entry.path, most=None) if check else ""
    state = f"DAMAGED: {damage}; it is built again when it is needed" if damage else "intact" if check else ""
    days = (time.time() - entry.used) / DAY
    columns = (f"{size_text(entry.size):>8}", f"used {days:.1f} days ago", Path(entry.path).name, entry.about, state)
    say("  ".join(column for column in columns if column))
    return damage


def summary(entries: list[Entry]) -> str:
    """How many entries there are, and their size: "2 entries, 1.5 GB"."""
    return f"{len(entries)} entr{'y' if len(entries) == 1 else 'ies'}, {size_text(sum(e.size for e in entries))}"


def size_text(size: int | float) -> str:
    """A number of bytes in the unit that suits it: 1500000 -> "1.5 MB"."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} {UNITS[0]}"
