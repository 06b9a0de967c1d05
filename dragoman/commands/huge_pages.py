"""The memory of a process on Linux."""

import os
import sys
from collections.abc import Sequence

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = ("glibc.malloc.hugetlb=1",)
KEPT_PAGES = (
    *HUGE_PAGES,
    "glibc.malloc.trim_threshold=1099511627776",  # what is free at the end of the heap stays
    "glibc.malloc.mmap_max=0",  # large blocks come from the heap too: those apart from it go back when they are freed
    "glibc.malloc.arena_max=1",  # for all threads: a thread's own heap is too small for activations
)
"""Huge pages, and none is given back before the process ends: memory that is freed serves the next allocation."""


def use_huge_pages(settings: Sequence[str] = HUGE_PAGES) -> None:
    """Restarts this program, once, with the C library's allocator so set; does nothing where that is no setting.

    XLA asks for the activations of every step anew. On ordinary pages the kernel then clears them 4 KiB at a time,
    which takes a third of a small model's training step on a CPU, and a tenth of its search; on huge ones that are
    given back after each step, it still takes a tenth of the training step. The allocator reads its settings only when
    a program starts: hence the restart, which keeps the process id, and the call before anything heavy is imported.
    Settings of the user's own stand: the last of a name counts.
    """
    own = os.environ.get(TUNABLES, "")
    if sys.platform == "linux" and "hugetlb" not in own:
        os.environ[TUNABLES] = ":".join([*settings, *filter(None, [own])])
        os.execv(sys.executable, sys.orig_argv)


def environment_without(settings: Sequence[str]) -> dict[str, str]:
    """The environment as it was before `use_huge_pages`, for a program that shall run as it would by itself."""
    kept = [setting for setting in os.environ.get(TUNABLES, "").split(":") if setting not in settings]
    return os.environ | {TUNABLES: ":".join(kept)}
