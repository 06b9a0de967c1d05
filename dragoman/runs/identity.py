"""Checks that a run is still the same run: its fixed knobs, and the hashes that its checkpoints carry.

Each config field declares whether it may change when a run resumes: see `Facts` in data/config.py.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from data.errors import InputError
from dragoman.runs.manifest import Manifest
from dragoman.runs.recipe import KNOBS, SECTIONS, quote
from transformer.config import Config


def check_config(stored: Config, new: Config, *, where: Path) -> None:
    """InputError names the first knob that differs from the stored config and must not change when a run resumes."""
    before, after = flatten(stored), flatten(new)
    for key in KNOBS:
        if before[key] != after[key] and (reason := why_fixed(key, stored)) is not None:
            raise InputError(
                f"{where}: {key} is {quote(before[key])} in this run, found {quote(after[key])}: {reason}"
                "set it back, or start another run with --run"
            )


def why_fixed(key: str, stored: Config) -> str | None:
    """Why a knob must not change when a run resumes (may be empty), or None if it may change."""
    section, name = key.split(".")
    if key == "training.steps" and stored.training.schedule == "cosine":
        return "the cosine schedule falls to 0 at the last step, so the number of steps cannot change under it: "
    return None if SECTIONS[section].facts()[name]["on_resume"] == "free" else ""


def check_planned_steps(manifest: Manifest, config: Config, *, where: Path) -> None:
    """InputError if a checkpoint was trained with a cosine schedule over another number of steps.

    This detects a number edited in the run's own config.toml. Checkpoints of version 0.1.0 do not record the number.
    """
    planned = manifest.progress.get("planned_steps", config.training.steps)
    check_config(config.with_training({"steps": planned}), config, where=where)


def fixed_knobs(config: Config) -> dict[str, Any]:
    """The value of each knob that must not change when a run resumes, by its first dotted name."""
    values = flatten(config)
    return {first_name(key): values[key] for key in KNOBS if why_fixed(key, config) is not None}


def first_name(key: str) -> str:
    """The first dotted name of a knob, which stored states use."""
    section, name = key.split(".")
    return f"{section}.{SECTIONS[section].facts()[name].get('formerly', name)}"


def check_knobs(manifest: Manifest, config: Config, *, where: Path) -> None:
    """InputError names the first fixed knob that differs from the one a checkpoint was trained with.

    This detects a knob edited in the run's own config.toml. Checkpoints of version 0.1.0 do not record knobs.
    """
    trained, now = manifest.progress.get("knobs", {}), fixed_knobs(config)
    for key in KNOBS:
        name = first_name(key)
        if name in now and trained.get(name, now[name]) != now[name]:
            raise InputError(
                f"{where}: was trained with {key} {quote(trained[name])}, found {quote(now[name])}: "
                f"{why_fixed(key, config)}set it back, or start another run with --run"
            )


def flatten(config: Config) -> dict[str, Any]:
    """The value of each knob, by its dotted key."""
    return {
        f"{section}.{name}": value for section, values in config.model_dump().items() for name, value in values.items()
    }


def config_hash(config: Config) -> str:
    """SHA-256 of the knobs that determine what parameters mean: the architecture and the kind of vocabulary.

    The knobs of version 0.1.0 are always hashed. A newer knob is hashed only if its value differs from what all runs
    used before it existed (`before` on its field), so a new knob does not change the hash of a stored checkpoint. Nor
    does a new default, because a run's config.toml holds every value.
    """
    meaning = {name: value for _, section in config for name, value in section.identity("shapes_parameters").items()}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def check_hashes(manifest: Manifest, hashes: dict[str, str], *, where: Path) -> None:
    """InputError unless a checkpoint has these hashes of config, tokenizer and data; only those given are compared."""
    for kind, found in hashes.items():
        made = manifest.hashes.get(kind, "none")
        if found != made:
            raise InputError(
                f"{where}: was made with another {kind}: SHA-256 {made[:12]}, found {found[:12]}: "
                f"put the original {kind} back, or use another checkpoint"
            )
