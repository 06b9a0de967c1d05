"""Where the time of a traced program goes, by the parts of the model that `jax.named_scope` names."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

PARTS = ("optimizer", "loss", "attention", "projection", "norm", "dropout", "embedding")
"""Names of scopes; whatever lies in none of them is "other": residual connections, activations, masks."""

HOLDERS = {"while", "call", "conditional"}
"""Operations whose time is that of others inside them."""


def parts_of(program: str) -> dict[str, str]:
    """The part of each operation of a compiled program, read off its text.

    An operation that XLA fused from those of several parts has the name of its last one, and so its part.
    """
    found = {}
    for line in program.split("\n"):
        operation = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\(", line)
        if operation and operation[2] not in HOLDERS:
            named = re.search(r'op_name="([^"]*)"', line)
            scopes = set(re.findall(r"\w+", named[1])) if named else set()
            found[operation[1]] = next((part for part in PARTS if part in scopes), "other")
    return found


def events(directory: Path) -> Iterator[tuple[str, float]]:
    """Name and milliseconds of all that the newest trace in a directory holds.

    A GPU's kernels have names of their own, and tell the operation they compute.
    """
    newest = max(directory.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime_ns)
    with gzip.open(newest) as stream:
        trace = json.load(stream)
    for event in trace["traceEvents"]:
        if event.get("ph") == "X":
            yield event.get("args", {}).get("hlo_op", event["name"]), event["dur"] / 1000


def milliseconds(directory: Path, program: str, updates: int) -> dict[str, float]:
    """Milliseconds of each part in one of the traced updates, the longest first.

    Operations that run side by side count each in full: on a CPU the sum is more than an update takes.
    """
    parts = parts_of(program)
    total: dict[str, float] = defaultdict(float)
    for name, taken in events(directory):
        if name in parts:
            total[parts[name]] += taken / updates
    return dict(sorted(total.items(), key=itemgetter(1), reverse=True))


def table_of_parts(taken: dict[str, float]) -> str:
    """One line a part."""
    whole = sum(taken.values())
    lines = [f"{whole:.0f} ms of operations in an update, of which"]
    return "\n".join(lines + [f"    {part:12} {ms:7.1f} ms {ms / whole:5.0%}" for part, ms in taken.items()])
