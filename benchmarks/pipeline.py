"""How fast the text side feeds training: target tokens per second, memory, and the seconds to the first batch.

    python benchmarks/pipeline.py --source FILE --target FILE [--vocabulary 8000] [--workers N] [--sampling X]
        [--batching packed|bucketed] [--seconds 20] [--cache DIRECTORY]

Batches are taken as fast as they come, for this many seconds after the first. The first batch comes from a cold cache
if the cache has no tokens of this text, else from a warm one. Learning the vocabulary is not counted; it is kept in the
cache. `resident_mb` is the most that this process and its workers had in memory meanwhile; `density` is the share of
real tokens in the target rows. `tokens_per_processor_second` divides the target tokens by the processor time of this
process and its workers together, and `first_batch_processor_seconds` is the same time until the first batch: other
programs on the machine change them little. Prints a table and one JSON line. Linux only: memory and times are read from
/proc.
"""

import json
import os
import platform
import re
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data.batch import Batch
from data.batching.pipeline import training_batches
from data.config import DataConfig
from data.sources import load_corpora
from data.vocabulary.prepared import prepared_tokenizer
from dragoman.commands.options import ArgumentParser, run_main

LOOK = 0.25  # seconds between looks at the memory
TICKS = os.sysconf("SC_CLK_TCK")  # in a second: the unit of processor times in /proc


def main(arguments: list[str]) -> int:
    """Measures and prints."""
    parser = ArgumentParser(prog="pipeline.py", description="How fast the text side feeds training.")
    parser.add_argument("--source", metavar="FILE", required=True, help="source lines")
    parser.add_argument("--target", metavar="FILE", required=True, help="target lines")
    parser.add_argument("--vocabulary", metavar="N", type=int, default=8000, help="pieces in the joint vocabulary")
    parser.add_argument("--workers", metavar="N", default="auto", help="data.workers: processes, or auto")
    parser.add_argument("--sampling", metavar="X", type=float, default=0.0, help="data.subword_sampling")
    parser.add_argument("--batching", choices=["packed", "bucketed"], default="packed", help="data.batching")
    parser.add_argument("--row-length", metavar="N", type=int, default=128, help="data.row_length")
    parser.add_argument("--batch-tokens", metavar="N", type=int, default=25_600, help="target tokens of a batch")
    parser.add_argument("--seconds", metavar="S", type=float, default=20.0, help="how long batches are taken")
    parser.add_argument("--cache", metavar="DIRECTORY", default="", help="data.cache")
    options = parser.parse_args(arguments)
    config = DataConfig(
        train=[[str(Path(options.source).absolute()), str(Path(options.target).absolute())]],
        vocabulary_size=options.vocabulary,
        subword_sampling=options.sampling,
        batching=options.batching,
        row_length=options.row_length,
        maximum_tokens=min(128, options.row_length),
        workers=options.workers if options.workers == "auto" else int(options.workers),
        cache=options.cache,
    )
    result = measure(config, batch_tokens=options.batch_tokens, seconds=options.seconds)
    for name, value in result.items():
        print(f"{name:26} {value:,.3f}" if isinstance(value, float) else f"{name:26} {value:,}")
    settings = {name: getattr(options, name) for name in ("batching", "sampling", "workers", "row_length")}
    machine = {"machine": platform.platform(), "cores": len(os.sched_getaffinity(0))}
    print(json.dumps({**result, **settings, **machine}))
    return 0


def measure(config: DataConfig, *, batch_tokens: int, seconds: float) -> dict[str, float]:
    """The figures of the text side under a config."""
    start = now()
    corpora = load_corpora(config, "train")
    learning = now()
    tokenizer = prepared_tokenizer(config, corpora)
    learned = now()
    iterator = iter(training_batches(corpora, tokenizer, config, batch_tokens=batch_tokens, seed=1))
    resident = 0.0
    next(iterator)
    first = now()
    looked, tokens, positions, batches = 0.0, 0, 0, 0
    while time.perf_counter() < first[0] + seconds:
        batch: Batch = next(iterator)
        tokens += int(np.count_nonzero(batch.target_segments))
        positions += batch.target_segments.size
        batches += 1
        if time.perf_counter() > looked + LOOK:
            looked, resident = time.perf_counter(), max(resident, resident_mb())
    elapsed, worked = now() - first
    first_batch, first_batch_worked = first - learned + learning - start
    iterator.close()
    return {
        "pairs": sum(len(corpus.pairs) for corpus in corpora),
        "first_batch_seconds": round(first_batch, 3),
        "first_batch_processor_seconds": round(first_batch_worked, 3),
        "target_tokens_per_second": round(tokens / elapsed),
        "tokens_per_processor_second": round(tokens / max(worked, 1 / TICKS)),
        "density": round(tokens / positions, 4),
        "resident_mb": round(resident, 1),
        "batches": batches,
    }


def now() -> Float[np.ndarray, " 2"]:
    """The time, and the processor time of this process and of those that it started, in seconds."""
    fields = [stat.rpartition(")")[2].split() for stat in of_all_processes("stat")]
    return np.array([time.perf_counter(), sum(int(one[11]) + int(one[12]) for one in fields) / TICKS])


def resident_mb() -> float:
    """The resident memory of this process and of the processes that it started, in MB."""
    found = [re.search(r"VmRSS:\s+(\d+) kB", status) for status in of_all_processes("status")]
    return sum(int(one[1]) / 1000 for one in found if one)


def of_all_processes(name: str) -> list[str]:
    """What this file in /proc says of this process and of those that it started."""
    texts, processes = [], [os.getpid()]
    for process in processes:
        try:
            texts.append(Path(f"/proc/{process}/{name}").read_text(encoding="utf-8"))
            children = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{process}/task").glob("*/children")]
        except OSError:  # a process that has just ended
            continue
        processes += [int(child) for line in children for child in line.split()]
    return texts


if __name__ == "__main__":
    run_main(main)
