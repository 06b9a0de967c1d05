"""The memory of a process on Linux."""

import os
import sys

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = ("glibc.malloc.hugetlb=1",)
KEPT_PAGES = (
    *HUGE_PAGES,
    "glibc.malloc.arena_max=1",
    "glibc.malloc.mmap_max=0",
    "glibc.malloc.trim_threshold=1099511627776",
)
"""Huge pages, and none is given back before the process ends: memory that is freed serves the next allocation."""


def use_huge_pages(settings: tuple[str, ...] = HUGE_PAGES) -> None:
    """Restarts this program, once, with the C library's allocator so set; does nothing where that is no setting.

    XLA asks for the activations of every step anew. On ordinary pages the kernel then clears them 4 KiB at a time,
    which takes a third of a small model's training step on a CPU, and a tenth of its search; on huge ones that are
    given back after each step, it still takes a tenth of the training step. The allocator reads its settings only when
    a program starts: hence the restart, which keeps the process id, and the call before anything heavy is imported.
    """
    tunables = os.environ.get(TUNABLES, "")
    if sys.platform == "linux" and "hugetlb" not in tunables:
        os.environ[TUNABLES] = ":".join(filter(None, (tunables, *settings)))
        os.execv(sys.executable, sys.orig_argv)
