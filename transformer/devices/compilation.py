"""Where programs run and where compiled ones are kept: CPU cores as devices, and the compilation cache."""

import hashlib
import os
import platform
from pathlib import Path

import jax

from transformer.model.dense import cpu_features

MOST_CORES = 8


def use_cores() -> None:
    """Makes each core of a CPU a device of its own, up to MOST_CORES: call it before JAX is used.

    Search has many small operations. Cores that search on their own do twice the work of cores that share operations;
    training, whose operations are large, gains a twentieth. Each device has its own copy of the parameters.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


def use_compilation_cache() -> None:
    """Keeps compiled programs on disk, so that a second start of the same program skips its compilation.

    Programs for different processors are kept apart: they are compiled for the very one they run on.
    JAX_COMPILATION_CACHE_DIR names another place.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    processor = f"{platform.machine()} {sorted(cpu_features())}"
    name = hashlib.sha256(processor.encode()).hexdigest()[:12]
    directory = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "dragoman" / f"xla-{name}"
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
