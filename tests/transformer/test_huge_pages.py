"""The allocator's settings: they are heard after one restart, and freed memory serves again without page faults."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, resource, sys
sys.path.insert(0, {root!r})
from transformer.huge_pages import HUGE_PAGES, KEPT_PAGES, use_huge_pages
use_huge_pages({settings})
print(os.environ["GLIBC_TUNABLES"], sys.argv[1])

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(b"x" * 10_000_000)
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def run(tmp_path, root, settings: str, environment: dict[str, str]) -> list[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=root, settings=settings))
    command = [sys.executable, str(script), "argument"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of Linux")
def test_kept_pages_serve_the_next_allocation_and_others_are_cleared_anew(tmp_path, pytestconfig):
    root = str(pytestconfig.rootpath)
    tunables, argument, kept = run(tmp_path, root, "KEPT_PAGES", {"GLIBC_TUNABLES": "glibc.malloc.check=0"})
    assert argument == "argument"
    assert tunables.split(":")[:2] == ["glibc.malloc.check=0", "glibc.malloc.hugetlb=1"]
    assert int(kept) < 5 < int(run(tmp_path, root, "HUGE_PAGES", {})[2])


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of Linux")
def test_settings_of_the_users_own_stand(tmp_path, pytestconfig):
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert run(tmp_path, str(pytestconfig.rootpath), "KEPT_PAGES", own)[0] == "glibc.malloc.hugetlb=0"
