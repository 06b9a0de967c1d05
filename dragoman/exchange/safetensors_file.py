"""Exports the parameters by their dotted paths as safetensors, for any program."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from data.batch import BOS, EOS, PAD, UNK
from data.errors import InputError
from dragoman.exchange import readme
from dragoman.exchange.trained import Trained, require
from transformer.model import Parameters

FILE = "model.safetensors"


def write_safetensors(trained: Trained, directory: Path) -> None:
    """Write model.safetensors, config.json, the tokenizer and a README."""
    numpy = require("safetensors.numpy")
    content = numpy.save(flatten(trained.parameters), metadata={"format": "np"})
    (directory / FILE).write_bytes(content)  # its save_file makes files that only their owner may read
    about = {
        "run": trained.run,
        "step": trained.step,
        "source_vocabulary": len(trained.source_vocabulary),
        "target_vocabulary": len(trained.target_vocabulary),
        "special_ids": {"pad": PAD, "unk": UNK, "bos": BOS, "eos": EOS},
        "tokenizers": [path.name for path in trained.tokenizers],
        **trained.config.model_dump(include={"model", "data", "decoding"}),
    }
    (directory / "config.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in trained.tokenizers:
        shutil.copy(path, directory / path.name)
    text = readme.SAFETENSORS.format(
        run=trained.run,
        step=trained.step,
        source=trained.config.data.source_language,
        target=trained.config.data.target_language,
    )
    (directory / "README.md").write_text(text, encoding="utf-8")


def read_safetensors(directory: Path) -> Parameters:
    """The parameters of an exported directory, nested as `split` gives them."""
    nested: Parameters = unflatten_dict(require("safetensors.numpy").load_file(directory / FILE), sep=".")
    return nested


def flatten(parameters: Parameters) -> dict[str, np.ndarray]:
    """Arrays by dotted path: {"decoder": {"0": {"norm": x}}} -> {"decoder.0.norm": x}."""
    leaves = jax.tree_util.tree_leaves_with_path(parameters)
    flat = {".".join(key.key for key in path): np.ascontiguousarray(leaf) for path, leaf in leaves}
    for name, array in flat.items():
        if array.dtype != np.float32:
            raise InputError(f"{name} is {array.dtype}, expected float32: the checkpoint was not made by this program")
    return flat
