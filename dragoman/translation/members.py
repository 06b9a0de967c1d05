"""Loads a checkpoint as a member of an ensemble: verified parameters, config and tokenizer.

`find_member` and `find_average` know all but the parameters, which `restore` reads. So a program can tell what a model
would translate, and whether it has done so before, without loading it.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx

from data.errors import InputError
from data.text.statistics import SourceStatistics
from data.vocabulary.tokenizer import Tokenizer
from dragoman.files import file_hash
from dragoman.runs.checkpoint import average, restore_parameters
from dragoman.runs.identity import check_hashes, config_hash
from dragoman.runs.loading import find_checkpoint, with_decoding
from dragoman.runs.manifest import read_manifest
from dragoman.runs.storage import name_leaves, put_on_devices
from transformer.config import Config
from transformer.model import Parameters, abstract


class Member(NamedTuple):
    """One model of an ensemble, as found, or as loaded, from its checkpoint."""

    graph: nnx.GraphDef
    parameters: Parameters  # as found, their shapes and types only
    config: Config
    tokenizer: Tokenizer
    statistics: SourceStatistics
    run: str
    checkpoint: str
    step: int
    parameters_sha256: str
    directories: tuple[Path, ...]  # of the checkpoint, or of those to average
    averaged: tuple[int, ...] = ()  # the steps of an average


def load_member(
    run: str | Path, checkpoint: str | int | Path = "best", decoding: Mapping[str, Any] | None = None
) -> Member:
    """The model of a checkpoint, with changed decoding knobs. InputError says what is wrong."""
    member = find_member(run, checkpoint, decoding)
    return member._replace(parameters=restore(member))


def find_member(
    run: str | Path, checkpoint: str | int | Path = "best", decoding: Mapping[str, Any] | None = None
) -> Member:
    """As `load_member`, with the shapes of the parameters, which are verified when they are loaded."""
    directory, home = find_checkpoint(Path(run), checkpoint)
    config = with_decoding(home.load_config(), decoding or {})
    hashes = {"config": config_hash(config), "tokenizer": file_hash(home.tokenizer_paths(config))}
    manifest = read_manifest(directory)
    check_hashes(manifest, hashes, where=directory)
    tokenizer = Tokenizer.load(home.path)
    graph, template = shapes(config.model, tokenizer.source_size, tokenizer.target_size)
    return Member(
        graph=graph,
        parameters=template,
        config=config,
        tokenizer=tokenizer,
        statistics=home.load_statistics(),
        run=str(run),
        checkpoint=directory.name,
        step=manifest.step,
        parameters_sha256=manifest.parameters_sha256,
        directories=(directory,),
        averaged=tuple(manifest.averaged),
    )


shapes = functools.lru_cache(8)(abstract)
"""As `abstract`, once for all checkpoints of a run: building the shapes of a model takes longer than all else here."""


def find_average(
    run: str | Path, directories: Sequence[Path], name: str, decoding: Mapping[str, Any] | None = None
) -> Member:
    """As `find_member`, for the mean of several checkpoints of a run, which is not saved. `name` is its checkpoint."""
    found = [find_member(run, directory, decoding) for directory in directories]
    shas = sorted(member.parameters_sha256 for member in found)
    return found[0]._replace(
        checkpoint=name,
        step=max(member.step for member in found),
        parameters_sha256=hashlib.sha256(" ".join(["mean", *shas]).encode()).hexdigest(),
        directories=tuple(directory for member in found for directory in member.directories),
        averaged=tuple(sorted(member.step for member in found)),
    )


def restore(member: Member) -> Parameters:
    """The verified parameters of a member: those of its checkpoint, or the mean of several."""
    if len(member.directories) == 1:
        return restore_parameters(member.directories[0], member.parameters)
    return put_on_devices(name_leaves(average(member.directories)), member.parameters)


def shared_config(members: Sequence[Member]) -> Config:
    """The config of the first member, with length limits that suit all. InputError if vocabularies differ."""
    first = members[0]
    for other in members[1:]:
        if other.tokenizer.sha256 != first.tokenizer.sha256:
            raise InputError(
                f"{other.run} and {first.run} have different vocabularies: an ensemble needs the same vocabulary"
            )
    longest = min(member.config.model.maximum_length for member in members)
    tokens = min(longest, *(member.config.data.maximum_tokens for member in members))
    data = first.config.data.model_copy(update={"maximum_tokens": tokens})
    return first.config.with_model({"maximum_length": longest}).model_copy(update={"data": data})
