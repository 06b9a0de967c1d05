"""The memory of a process on Linux."""

import os
import sys

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"


def use_huge_pages() -> None:
    """Restarts this program, once, with the C library's allocator on huge pages; does nothing where that is no setting.

    XLA asks for the activations of every step anew. On ordinary pages the kernel then clears them 4 KiB at a time,
    which takes a third of a small model's training step on a CPU, and a tenth of its search. The allocator reads its
    settings only when a program starts: hence the restart, which keeps the process id, and the call before anything
    heavy is imported.
    """
    tunables = os.environ.get(TUNABLES, "")
    if sys.platform == "linux" and "hugetlb" not in tunables:
        os.environ[TUNABLES] = f"{tunables}:{HUGE_PAGES}".removeprefix(":")
        os.execv(sys.executable, sys.orig_argv)
