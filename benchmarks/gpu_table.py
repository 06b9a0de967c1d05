"""The result table of benchmarks/gpu.sh, from its output in OUT: `python benchmarks/gpu_table.py OUT [PART ...]`.

The row of a part that failed or was cut off says how far it got. A part that was not run has no row.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

STEPS = {
    "train-base": ["train-base"],
    "multi30k": ["multi30k", "multi30k-scores"],
    "train-big": ["train-big"],
    "decode": ["base-run", "decode"],
}
"""The steps of each part, in order."""

Row = tuple[str, str, str]  # part, system, and result


def rows(out: Path, parts: Sequence[str]) -> Iterator[Row]:
    """The rows of the parts that were run."""
    for part in parts:
        started = [step for step in STEPS[part] if (out / f"{step}.log").exists()]
        unfinished = [step for step in started if not (out / f"{step}.seconds").exists()]
        if unfinished:
            yield part, "", how_far(out, unfinished[0])
        elif started:
            yield from results(out, part)


def results(out: Path, part: str) -> Iterator[Row]:
    """The rows of a part that succeeded."""
    if part == "multi30k":
        yield multi30k_row(out)
    for one in [] if part == "multi30k" else last_json(out, part):
        yield decoding_row(one) if part == "decode" else training_row(part, one)


def how_far(out: Path, step: str) -> str:
    """How a step failed, and the last line it printed."""
    cut = out / f"{step}.cut"
    what = f"cut off after {cut.read_text().strip()} s" if cut.exists() else "failed"
    said = [line.strip() for line in re.split(r"[\r\n]", (out / f"{step}.log").read_text(errors="replace"))]
    last = next((line for line in reversed(said) if line), "nothing was printed")
    return f"{what}: {last[:160]} (see {step}.log)"


def last_json(out: Path, step: str) -> list[dict[str, Any]]:
    """The JSON line at the end of a benchmark's output."""
    found: list[dict[str, Any]] = json.loads((out / f"{step}.out").read_text().strip().rpartition("\n")[2])
    return found


def training_row(part: str, one: dict[str, Any]) -> Row:
    """Training speed of a system: the median over updates, and the mean, which includes preparing all batches."""
    share = f", {one['utilisation']:.0%} of peak" if one.get("utilisation") else ""
    teraflops = f", {one['device_teraflops']:.3g} TFLOP/s{share}" if "device_teraflops" in one else ""
    compiling = f", compiled in {one['compile_seconds']:.0f} s" if "compile_seconds" in one else ""
    speed = f"{one['tokens_per_second']:,.0f} tokens/s (mean {one['mean_tokens_per_second']:,.0f})"
    return part, f"{one['system']}, {one['precision']}", speed + teraflops + compiling


def decoding_row(one: dict[str, Any]) -> Row:
    """Translation speed of a system."""
    system = f"{one['system']}, {one['precision']}, beam {one['beam']}"
    return "decode", system, f"{one['tokens_per_second']:,.0f} tokens/s"


def multi30k_row(out: Path) -> Row:
    """The scores of the Multi30k run, and its time in minutes."""
    [score] = json.loads((out / "multi30k.json").read_text())["results"]
    minutes = int((out / "multi30k.seconds").read_text()) / 60
    lowercased, cased = score["bleu_lowercased_tokenized"]["score"], score["bleu"]["score"]
    result = f"{lowercased:.2f} lower-cased BLEU, {cased:.2f} cased, in {minutes:.1f} minutes"
    return "multi30k", "Dragoman", result


def main() -> None:
    """The command line."""
    for part, system, result in rows(Path(sys.argv[1]), sys.argv[2:] or list(STEPS)):
        print(f"{part:12} {system:50} {result}")


if __name__ == "__main__":
    main()
