"""Main memory is what the machine and its control groups leave."""

import ctypes
import os
from pathlib import Path

import pytest

from data.memory import available_memory, group_memory, return_freed_memory


def test_memory_is_what_a_container_leaves(tmp_path):
    """The inner control group leaves 100 - 70 + 30 bytes; the one above has no limit, and the root no files."""
    inner = tmp_path / "cgroup" / "slurm" / "job"
    inner.mkdir(parents=True)
    for directory, limit in ((inner, "100"), (inner.parent, "max")):
        (directory / "memory.max").write_text(limit + "\n")
        (directory / "memory.current").write_text("70\n")
        (directory / "memory.stat").write_text("anon 40\ninactive_file 30\n")
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/x\n0::/slurm/job\n")
    assert group_memory(tmp_path / "cgroup", own) == [60]
    own.write_text("0::/\n")
    assert group_memory(tmp_path / "cgroup", own) == []
    assert group_memory(tmp_path / "cgroup", tmp_path / "none") == []
    assert available_memory() > 2**20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library that keeps no freed memory")
def test_freed_memory_is_returned():
    """Many small blocks, freed all but the last, as after learning a vocabulary."""

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks = [library.malloc(1000) for _ in range(100_000)]
    for block in blocks:
        ctypes.memset(block, 1, 1000)
    for block in blocks[:-1]:
        library.free(block)
    held = resident()
    return_freed_memory()
    assert held - resident() > 80e6
    library.free(blocks[-1])
