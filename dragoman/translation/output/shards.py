"""Divides a text over several processes or machines. The parts' translations, concatenated, are the whole."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Part number `index`, counted from 1, of `count` parts of consecutive lines."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def lines(self, total: int | None, *, name: str) -> range:
        """The lines of this part among `total`, counted from 0. Parts differ in size by at most one line.

        10 lines in 3 parts: range(0, 3), range(3, 6), range(6, 10). If the total is unknown, as for a pipe, only 1/1 is
        possible, and its range is unbounded. Error messages call the text `name`.
        """
        if total is None:
            if self.count > 1:
                raise InputError(f"{name}: can be read only once, so part {self} cannot be found: write it to a file")
            return range(sys.maxsize)
        return range(total * (self.index - 1) // self.count, total * self.index // self.count)

    def path(self, output: Path) -> Path:
        """The output file of this part. Sorted by name, the files are in the order of the text.

        For out.txt: out.txt.2-of-4, out.txt.02-of-12, and out.txt itself for 1/1.
        """
        if self.count == 1:
            return output
        return output.with_name(f"{output.name}.{self.index:0{len(str(self.count))}}-of-{self.count}")


def parse_shard(text: str) -> Shard:
    """The shard that is written "2/4". InputError for other text."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise InputError(f"--shard is {text}: expected a part and the number of parts, 1/4 to 4/4")
    return shard


def choose_shard(given: str | None, *, process: int, processes: int, has_files: bool) -> Shard:
    """The given shard, or else this process's part of the lines. Processes are counted from 0.

    InputError if a job of several processes is given a shard, or does not read and write files: each process
    translates its own part.
    """
    if given and processes > 1:
        raise InputError(
            f"--shard {given} in a job of {processes} processes, which already divide the lines: leave it out, "
            "or give --processes 1 too"
        )
    if given:
        return parse_shard(given)
    if processes > 1 and not has_files:
        raise InputError(
            f"a job of {processes} processes needs --input FILE and --output FILE: each translates its own part"
        )
    return Shard(process + 1, processes)
