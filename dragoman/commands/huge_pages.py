"""How a process on Linux gets its memory: in huge pages."""

import os
import sys
from collections.abc import Sequence

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = ("glibc.malloc.hugetlb=1",)
KEPT_PAGES = (
    *HUGE_PAGES,
    "glibc.malloc.trim_threshold=1099511627776",  # keep what is free at the end of the heap
    "glibc.malloc.mmap_max=0",  # take large blocks from the heap too: mapped ones are returned when they are freed
    "glibc.malloc.arena_max=1",  # one heap for all threads: a thread's own is too small for activations
)
"""Huge pages, none of which is returned before the process ends: the next allocation reuses freed memory."""


def use_huge_pages(settings: Sequence[str] = HUGE_PAGES) -> None:
    """Restart this program, once, with these settings of the C library's allocator; on Linux only.

    XLA allocates the activations of every step anew, and on ordinary pages the kernel clears them 4 KiB at a time: a
    large part of a small model's training step on a CPU. The allocator reads its settings only when a program starts:
    hence the restart, which keeps the process id, before anything heavy is imported. The user's own settings win.
    """
    own = os.environ.get(TUNABLES, "")
    if sys.platform == "linux" and "hugetlb" not in own:
        os.environ[TUNABLES] = ":".join([*settings, *filter(None, [own])])
        os.execv(sys.executable, sys.orig_argv)


def environment_without(settings: Sequence[str]) -> dict[str, str]:
    """The environment as it was before `use_huge_pages`, to start another program with."""
    kept = [setting for setting in os.environ.get(TUNABLES, "").split(":") if setting not in settings]
    return os.environ | {TUNABLES: ":".join(kept)}
