"""What the benchmarks' peers share: their command line, their clock and their answer.

The scripts beside this one import it in environments of their own, which have torch and nothing of the project.
"""

import argparse
import gzip
import json
import lzma
import time
from collections.abc import Sequence
from typing import Any

import torch

LONGEST = 127  # tokens of a sentence, without EOS
WARM_UP = 5  # updates before those that count


def parse(precisions: Sequence[str]) -> argparse.Namespace:
    """What benchmarks/train.py asks for: text, vocabulary, sizes and one of the precisions."""
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "tokenizer"):
        parser.add_argument(name)
    for name in ("layers", "width", "heads", "feed-forward", "batch-tokens", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--dropout", type=float, required=True)
    parser.add_argument("--precision", choices=precisions, required=True)
    parser.add_argument("--compiled", action="store_true", help="compile the model with torch.compile")
    return parser.parse_args()


def read(path: str) -> bytes:
    """A file, plain or compressed."""
    opener = {"gz": gzip.open, "xz": lzma.open}.get(path.rpartition(".")[2], open)
    with opener(path, "rb") as file:
        return file.read()


def now() -> float:
    """The time in seconds, after a GPU has finished its work: PyTorch only queues it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def answer(system: str, precision: str, model: torch.nn.Module, tokens: list[int], seconds: list[float]) -> None:
    """Prints one JSON object: what was timed, and the real target tokens and seconds of each update after WARM_UP."""
    about: dict[str, Any] = {"system": system, "precision": precision, "torch": torch.__version__}
    about["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({**about, "tokens": tokens[WARM_UP:], "seconds": seconds[WARM_UP:]}))
