"""Main memory: what is free for this process, and giving back what it no longer uses."""

import ctypes
import os
import re
from pathlib import Path


def available_memory() -> int:
    """Bytes available without swapping, as estimated by Linux; on other systems, the machine's total memory.

    In a container or a cluster's job, not more than what its control groups leave.
    """
    path = Path("/proc/meminfo")
    if path.exists() and (found := re.search(r"MemAvailable:\s*(\d+) kB", path.read_text(encoding="ascii"))):
        return min([int(found[1]) * 1024, *group_memory()])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def group_memory(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Bytes that each limited control group (version 2) of this process has left, from the innermost outwards.

    Pages of files count as free, because the kernel drops them when memory is short.
    """
    try:
        found = re.search(r"^0::/(.*)$", own.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return []
    group, left = root / (found[1] if found else ""), []
    for directory in (group, *group.parents):
        try:
            limit = (directory / "memory.max").read_text(encoding="ascii").strip()
            used = int((directory / "memory.current").read_text(encoding="ascii"))
            files = re.search(r"^inactive_file (\d+)$", (directory / "memory.stat").read_text("ascii"), re.MULTILINE)
        except (OSError, ValueError):
            continue
        if limit.isdecimal():
            left.append(max(0, int(limit) - used + int(files[1] if files else 0)))
    return left


def return_freed_memory() -> None:
    """Gives the system the memory that this process has freed, where the C library keeps it otherwise (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
