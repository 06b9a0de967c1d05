"""What every test runs under. Warnings as errors and shape checking are set in pyproject.toml.

- On the CPU, unless JAX_PLATFORMS says otherwise, with eight virtual devices, so that any test can lay a computation
  over a mesh. Programs that a test starts see one device, as on a laptop; XLA_FLAGS in their environment gives more.
- `numpy_rank_promotion=raise`: broadcasting across ranks is written out, here and in started programs.
- Prepared text is kept in a temporary directory, never in the user's cache.
- Compiled programs are kept between sessions, for this JAX and this processor: compiling takes most of the time.
- No deadline for hypothesis: the first example compiles.
"""

import atexit
import hashlib
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path


def compilation_cache() -> Path:
    """A separate cache for each version of JAX and processor, because compiled code does not run on another."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").split("\n") if cpuinfo.exists() else []
    features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    key = hashlib.sha256(repr((version("jaxlib"), platform.platform(), features)).encode()).hexdigest()[:16]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dragoman" / "tests" / key


os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compilation_cache()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ["DRAGOMAN_DATA_CACHE"] = tempfile.mkdtemp(prefix="dragoman-tests-")
atexit.register(shutil.rmtree, os.environ["DRAGOMAN_DATA_CACHE"], ignore_errors=True)

import hypothesis
import jax

jax.config.update("jax_num_cpu_devices", 8)
hypothesis.settings.register_profile("dragoman", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("dragoman")
