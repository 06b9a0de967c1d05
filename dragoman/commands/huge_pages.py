"""Makes a process on Linux allocate its memory in huge pages."""

import os
import sys
from collections.abc import Sequence

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = ("glibc.malloc.hugetlb=1",)
KEPT_PAGES = (
    *HUGE_PAGES,
    "glibc.malloc.trim_threshold=1099511627776",  # keep free memory at the end of the heap
    "glibc.malloc.mmap_max=0",  # take large blocks from the heap too: mapped ones are returned when freed
    "glibc.malloc.arena_max=1",  # one heap for all threads: per-thread arenas are too small for activations
)
"""Huge pages that the process keeps until it ends, so that the next allocation reuses freed memory."""


def use_huge_pages(settings: Sequence[str] = HUGE_PAGES) -> None:
    """Restart this program once, with these settings of the C library's allocator. Linux only.

    XLA allocates the activations of every step anew. With ordinary pages the kernel clears them 4 KiB at a time, which
    takes a large part of a small model's training step on a CPU. The allocator reads its settings only when a program
    starts, so the program is restarted before anything heavy is imported; its process id stays the same. The
    user's own settings take precedence; if they mention huge pages, nothing happens.
    """
    own = os.environ.get(TUNABLES, "")
    if sys.platform == "linux" and "hugetlb" not in own:
        os.environ[TUNABLES] = ":".join([*settings, *filter(None, [own])])
        os.execv(sys.executable, sys.orig_argv)


def environment_without(settings: Sequence[str]) -> dict[str, str]:
    """The environment as it was before `use_huge_pages`, for starting another program."""
    kept = [setting for setting in os.environ.get(TUNABLES, "").split(":") if setting not in settings]
    return os.environ | {TUNABLES: ":".join(kept)}
