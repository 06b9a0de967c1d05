"""Settings of JAX for a command: CPU cores as devices, and the directory of the compilation cache."""

import hashlib
import os
import platform
from pathlib import Path

import jax

from transformer.model.dense import cpu_features

MOST_CORES = 8


def use_cores() -> None:
    """Makes each CPU core a separate device, up to MOST_CORES. Call it before JAX is used.

    Search consists of many small operations, so it is much faster when each core searches alone than when cores share
    operations. Training has large operations, and gains little. Each device has its own copy of the parameters.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


def use_compilation_cache() -> None:
    """Caches compiled programs on disk, so that they need not be compiled again at the next start.

    Each type of processor has its own directory, because programs are compiled for the processor they run on.
    JAX_COMPILATION_CACHE_DIR overrides the directory.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    processor = f"{platform.machine()} {sorted(cpu_features())}"
    name = hashlib.sha256(processor.encode()).hexdigest()[:12]
    directory = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "dragoman" / f"xla-{name}"
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
