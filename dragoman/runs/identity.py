"""What makes a run the same run: the knobs that may not change when it resumes, and the hashes its checkpoints carry.

Which knobs these are is declared on their fields: see `Facts` in data/config.py.
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
    """InputError names the first knob that differs from the stored config's and is fixed when a run resumes."""
    before, after = flatten(stored), flatten(new)
    for key in KNOBS:
        if before[key] != after[key] and (reason := why_fixed(key, stored)) is not None:
            raise InputError(
                f"{where}: {key} is {quote(before[key])} in this run, found {quote(after[key])}: {reason}"
                "set it back, or start another run with --run"
            )


def why_fixed(key: str, stored: Config) -> str | None:
    """The reason why a knob may not change when a run resumes, empty if it needs none; None if it may change."""
    section, name = key.split(".")
    if key == "training.steps" and stored.training.schedule == "cosine":
        return "the cosine schedule falls to 0 at the last step, so the number of steps cannot change under it: "
    return None if SECTIONS[section].facts()[name]["on_resume"] == "free" else ""


def check_planned_steps(manifest: Manifest, config: Config, *, where: Path) -> None:
    """InputError if a checkpoint was made under the cosine schedule of another number of steps.

    It finds a number that was edited in the run's own config.toml. Checkpoints of version 0.1.0 do not tell.
    """
    planned = manifest.progress.get("planned_steps", config.training.steps)
    check_config(config.with_training({"steps": planned}), config, where=where)


def flatten(config: Config) -> dict[str, Any]:
    """Each knob's value by its dotted key."""
    return {
        f"{section}.{name}": value for section, values in config.model_dump().items() for name, value in values.items()
    }


def config_hash(config: Config) -> str:
    """SHA-256 of the knobs that decide what parameters mean: the architecture and the kind of vocabulary.

    The knobs of version 0.1.0 are always hashed. A knob added since is hashed only where its value differs from the
    one that all runs had before it (`before` on its field). So a new knob leaves the hash of every stored checkpoint as
    it is, and so does a new default of any knob, because a run's config.toml holds every value.
    """
    meaning = {name: value for _, section in config for name, value in section.identity("shapes_parameters").items()}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def check_hashes(manifest: Manifest, hashes: dict[str, str], *, where: Path) -> None:
    """InputError unless a checkpoint was made with this config, tokenizer and data; only those given are compared."""
    for kind, found in hashes.items():
        made = manifest.hashes.get(kind, "none")
        if found != made:
            raise InputError(
                f"{where}: was made with another {kind}: SHA-256 {made[:12]}, found {found[:12]}: "
                f"put the original {kind} back, or use another checkpoint"
            )
