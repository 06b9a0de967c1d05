"""The allocator's settings take effect after one restart, and freed memory is reused without page faults."""

import subprocess
import sys

import pytest

from dragoman.commands.huge_pages import KEPT_PAGES, environment_without

SCRIPT = """
import os, resource, sys
sys.path.insert(0, {root!r})
from dragoman.commands.huge_pages import HUGE_PAGES, KEPT_PAGES, use_huge_pages
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
def test_kept_pages_are_reused_by_the_next_allocation_and_others_are_cleared_again(tmp_path, pytestconfig):
    root = str(pytestconfig.rootpath)
    tunables, argument, kept = run(tmp_path, root, "KEPT_PAGES", {"GLIBC_TUNABLES": "glibc.malloc.check=0"})
    assert argument == "argument"
    assert tunables.split(":")[0] == "glibc.malloc.hugetlb=1"
    assert tunables.endswith(":glibc.malloc.check=0")
    assert int(kept) < 5 < int(run(tmp_path, root, "HUGE_PAGES", {})[2])


def test_another_program_gets_the_environment_without_the_settings(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", ":".join([*KEPT_PAGES, "glibc.malloc.check=0"]))
    assert environment_without(KEPT_PAGES)["GLIBC_TUNABLES"] == "glibc.malloc.check=0"


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of Linux")
def test_the_users_own_settings_are_kept(tmp_path, pytestconfig):
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert run(tmp_path, str(pytestconfig.rootpath), "KEPT_PAGES", own)[0] == "glibc.malloc.hugetlb=0"
