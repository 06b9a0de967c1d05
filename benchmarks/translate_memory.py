"""Memory while a large file is translated, from pipe to pipe: it must not grow with the number of lines.

    python benchmarks/translate_memory.py RUN [--lines 100000] [--text FILE]

Feeds translate.py the lines of a text over and over (by default numbered words), reads what it writes, and asks the
system for its resident memory along the way. Repeated lines must get the same translations, in the same order. Prints a
table and one JSON line. Exits with status 1 if a line differs, or if memory grew by 2% or more after the first tenth of
the lines. Linux only: memory is read from /proc.
"""

import json
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from data.lines import read_lines
from dragoman.commands.options import ArgumentParser, run_main

PROGRAM = Path(__file__).parent.parent / "translate.py"
MARKS = 20  # how often memory is measured
LIMIT = 1.02  # of the memory after a tenth of the lines


def main(arguments: list[str]) -> int:
    """Measure, print, judge."""
    parser = ArgumentParser(prog="translate_memory.py", description="Memory while a large file is translated.")
    parser.add_argument("run", metavar="RUN", help="run directory; a tiny model is enough")
    parser.add_argument("--lines", metavar="N", type=int, default=100_000, help="lines to translate")
    parser.add_argument("--text", metavar="FILE", help="lines that are repeated (default: numbered words)")
    parser.add_argument("--chunk", metavar="N", default="4096", help="lines translated at a time")
    parser.add_argument("--beam", metavar="N", default="1", help="hypotheses kept")
    options = parser.parse_args(arguments)
    text = list(read_lines(options.text)) if options.text else [f"line {i} of {i % 97}" for i in range(500)]
    command = [sys.executable, PROGRAM, options.run, "--beam", options.beam, "--chunk", options.chunk]
    start, kilobytes, wrong, first = time.perf_counter(), {}, 0, []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        threading.Thread(target=feed, args=(process.stdin, text, options.lines)).start()
        number = 0
        for number, line in enumerate(process.stdout, 1):
            if len(first) < len(text):
                first.append(line)
            wrong += line != first[(number - 1) % len(text)]
            if number * MARKS // options.lines > (number - 1) * MARKS // options.lines:
                kilobytes[number] = resident(process.pid)
    if process.returncode or number != options.lines:
        print(f"translate.py ended with {process.returncode} after {number} of {options.lines} lines", file=sys.stderr)
        return 1
    warm = max(size for line, size in kilobytes.items() if line <= options.lines / 10)
    growth = max(kilobytes.values()) / warm
    print("     lines   resident MB")
    for line, size in kilobytes.items():
        print(f"{line:10}  {size / 1024:12.1f}")
    seconds = time.perf_counter() - start
    result = {"lines": number, "wrong": wrong, "growth": round(growth, 4), "lines_per_second": round(number / seconds)}
    print(json.dumps(result | {"machine": platform.platform(), "text": options.text or "numbered words"}))
    return int(growth >= LIMIT or wrong > 0)


def feed(pipe: BinaryIO, text: list[str], count: int) -> None:
    """Writes `count` lines, repeating the text."""
    with pipe:
        for number in range(count):
            pipe.write(text[number % len(text)].encode() + b"\n")


def resident(process: int) -> int:
    """The resident memory of a process, in kB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


if __name__ == "__main__":
    run_main(main)
