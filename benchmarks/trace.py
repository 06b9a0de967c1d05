"""The time that a traced program spends in each part of the model, as named by `jax.named_scope`, and in each kernel.

On a CPU, each operation of the trace has the name of an operation in the compiled program. On a GPU, so do the kernels
that XLA generates, with different separators. Kernels of libraries, and all kernels of a CUDA graph, have other names;
they are classified by kind.
"""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

PARTS = ("optimizer", "loss", "attention", "projection", "norm", "dropout", "embedding")
"""Names of scopes. Everything outside them is "other": residual connections, activations, masks."""

HOLDERS = {"while", "call", "conditional"}
"""Operations that contain others, whose time must not be counted twice."""

KINDS = (
    ("attention kernels", r"fmha|flash|mha_|attention|cudnn.*sdpa"),
    ("matrix products", r"gemm|nvjet|cutlass|cublas|dot|matmul|wgmma"),
    ("copies and transposes", r"copy|transpose|memcpy|memset|concatenate|slice"),
    ("sums and normalisations", r"reduce|softmax|norm|sum"),
    ("communication", r"nccl|all_?reduce|all_?gather|reduce_?scatter"),
    ("elementwise", r"fusion|add|multiply|select|convert|broadcast|loop|wrapped"),
)
"""Kinds of kernels whose part is unknown, by patterns in their names; the first that matches decides."""

LONGEST = 10


class Event(NamedTuple):
    """An event of the trace: the operation it computes (its name, if that is unknown), its name, and milliseconds."""

    operation: str
    name: str
    milliseconds: float


def normalized(name: str) -> str:
    """A name in a form common to programs and kernels: "loop_add_fusion.3" and "loop_add_fusion_3" are equal."""
    return re.sub(r"\W", "_", name)


def parts_of(program: str) -> dict[str, str]:
    """The part of the model of each operation in a compiled program's text, by normalised name.

    If XLA fused operations of several parts, the last one decides.
    """
    found = {}
    for line in program.split("\n"):
        operation = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\(", line)
        if operation and operation[2] not in HOLDERS:
            named = re.search(r'op_name="([^"]*)"', line)
            scopes = set(re.findall(r"\w+", named[1])) if named else set()
            found[normalized(operation[1])] = next((part for part in PARTS if part in scopes), "other")
    return found


class Trace(NamedTuple):
    """The events of a trace: those on the streams of an accelerator, or else everything on the host."""

    events: list[Event]
    is_device: bool


def read_trace(directory: Path) -> Trace:
    """The newest trace in a directory."""
    newest = max(directory.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime_ns)
    with gzip.open(newest) as stream:
        recorded = json.load(stream)["traceEvents"]
    streams = device_streams(recorded)
    ran = [event for event in recorded if event.get("ph") == "X"]
    if streams:
        ran = [event for event in ran if (event.get("pid"), event.get("tid")) in streams]
    found = [Event(e.get("args", {}).get("hlo_op", e["name"]), e["name"], e["dur"] / 1000) for e in ran]
    return Trace(found, bool(streams))


def device_streams(recorded: Iterable[dict[str, Any]]) -> set[tuple[Any, Any]]:
    """(process, thread) of each stream of an accelerator in a trace; empty on a CPU."""
    names = {
        (kind, event.get("pid"), event.get("tid") if kind == "thread_name" else None): event["args"].get("name", "")
        for event in recorded
        if event.get("ph") == "M" and (kind := event.get("name")) in ("process_name", "thread_name")
    }
    devices = {pid for (kind, pid, _), name in names.items() if kind == "process_name" and "/device:" in name}
    threads = {(pid, tid): name for (kind, pid, tid), name in names.items() if kind == "thread_name" and pid in devices}
    # Other threads of a device show the same time again, for whole modules, operations or scopes.
    return {place for place, name in threads.items() if re.match(r"Stream|XLA Ops$", name)} if devices else set()


def kind_of(kernel: str) -> str:
    """The kind of a kernel, judged by its name."""
    found = (kind for kind, pattern in KINDS if re.search(pattern, kernel, re.IGNORECASE))
    return next(found, "unknown")


def part_of(event: Event, parts: dict[str, str]) -> str | None:
    """The part of the model that an event belongs to; None if the program does not name the event."""
    for name in (event.operation, event.name):
        if (part := parts.get(normalized(name))) is not None:
            return part
    return None


def milliseconds(trace: Trace, program: str, updates: int) -> dict[str, float]:
    """Milliseconds of each part in an update, averaged over the traced updates, longest first.

    Operations that run at the same time each count in full, so on a CPU the sum can exceed the time of an update. On an
    accelerator, events that the program does not name are listed by kind, in parentheses. On a CPU, they belong to the
    host, and are left out.
    """
    parts, total = parts_of(program), defaultdict[str, float](float)
    for event in trace.events:
        part = part_of(event, parts)
        if part is None and trace.is_device:
            part = f"({kind_of(event.name)})"
        if part is not None:
            total[part] += event.milliseconds / updates
    return dict(sorted(total.items(), key=itemgetter(1), reverse=True))


def table_of_parts(taken: dict[str, float]) -> str:
    """A table with a line for each part."""
    whole = sum(taken.values())
    lines = [f"{whole:.0f} ms of operations in an update, of which"]
    return "\n".join(lines + [f"    {part:28} {ms:7.1f} ms {ms / whole:5.0%}" for part, ms in taken.items()])


def longest(trace: Trace, program: str, updates: int) -> str:
    """A table of the kernels, or operations, that take the most time in an update."""
    parts = parts_of(program)
    total, calls = defaultdict[str, float](float), defaultdict[str, float](float)
    labels: dict[str, str] = {}
    for event in trace.events:
        part = part_of(event, parts)
        if part is not None or trace.is_device:
            name = event.name if trace.is_device else event.operation
            total[name] += event.milliseconds / updates
            calls[name] += 1 / updates
            labels[name] = part or f"({kind_of(event.name)})"
    ranked = sorted(total.items(), key=itemgetter(1), reverse=True)[:LONGEST]
    lines = [f"{'ms':>8} {'calls':>6}  part          longest of an update"]
    return "\n".join(lines + [f"{ms:8.2f} {calls[n]:6.0f}  {labels[n]:12}  {n[:80]}" for n, ms in ranked])
