"""The table of benchmarks/gpu.sh: `python benchmarks/gpu_table.py OUT`, from what its parts left in OUT.

Parts that were not run have no line.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def last_json(out: Path, part: str) -> list[dict[str, Any]]:
    """The JSON line a benchmark ends with; empty if the part failed."""
    if not (out / f"{part}.seconds").exists():
        return []
    found: list[dict[str, Any]] = json.loads((out / f"{part}.out").read_text().strip().rpartition("\n")[2])
    return found


def rows(out: Path) -> Iterator[tuple[str, str, str]]:
    """What was measured, of which system, and the result."""
    for part in ("train-base", "train-big"):
        if (out / f"{part}.log").exists():
            yield from training_rows(out, part)
    if (out / "multi30k.log").exists():
        yield multi30k_row(out)
    if (out / "base-run.log").exists():
        found = last_json(out, "decode")
        if not found:
            yield "decode", "", "failed: see base-run.log and decode.log"
        for one in found:
            system = f"{one['system']}, {one['precision']}, beam {one['beam']}"
            yield "decode", system, f"{one['tokens_per_second']:,.0f} tokens/s"


def training_rows(out: Path, part: str) -> Iterator[tuple[str, str, str]]:
    """Training speed of each system: the median update, and the mean, which holds the making of all batches."""
    found = last_json(out, part)
    if not found:
        yield part, "", f"failed: see {part}.log"
    for one in found:
        share = f", {one['utilisation']:.0%} of peak" if one.get("utilisation") else ""
        teraflops = f", {one['device_teraflops']:.3g} TFLOP/s{share}" if "device_teraflops" in one else ""
        speed = f"{one['tokens_per_second']:,.0f} tokens/s (mean {one['mean_tokens_per_second']:,.0f})"
        yield part, f"{one['system']}, {one['precision']}", speed + teraflops


def multi30k_row(out: Path) -> tuple[str, str, str]:
    """The scores of the Multi30k run, and its minutes."""
    if not all((out / f"{name}.seconds").exists() for name in ("multi30k", "multi30k-scores")):
        return "multi30k", "", "failed: see multi30k.log and multi30k-scores.log"
    [score] = json.loads((out / "multi30k.json").read_text())["results"]
    minutes = int((out / "multi30k.seconds").read_text()) / 60
    lowercased, cased = score["bleu_lowercased_tokenized"]["score"], score["bleu"]["score"]
    result = f"{lowercased:.2f} lower-cased BLEU, {cased:.2f} cased, in {minutes:.1f} minutes"
    return "multi30k", "Dragoman", result


def main() -> None:
    """The command line."""
    for part, system, result in rows(Path(sys.argv[1])):
        print(f"{part:12} {system:50} {result}")


if __name__ == "__main__":
    main()
