"""Loads a checkpoint as a member of an ensemble: verified parameters, config and tokenizer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx

from data.errors import InputError
from data.text.statistics import SourceStatistics
from data.vocabulary.tokenizer import Tokenizer
from dragoman.files import file_hash
from dragoman.runs.checkpoint import restore_parameters
from dragoman.runs.identity import check_hashes, config_hash
from dragoman.runs.loading import find_checkpoint, with_decoding
from dragoman.runs.manifest import read_manifest
from transformer.config import Config
from transformer.model import Parameters, abstract


class Member(NamedTuple):
    """One model of an ensemble, as loaded from its checkpoint."""

    graph: nnx.GraphDef
    parameters: Parameters
    config: Config
    tokenizer: Tokenizer
    statistics: SourceStatistics
    run: str
    checkpoint: str
    step: int
    parameters_sha256: str


def load_member(
    run: str | Path, checkpoint: str | int | Path = "best", decoding: Mapping[str, Any] | None = None
) -> Member:
    """The model of a checkpoint, with changed decoding knobs. InputError says what is wrong."""
    directory, home = find_checkpoint(Path(run), checkpoint)
    config = with_decoding(home.load_config(), decoding or {})
    hashes = {"config": config_hash(config), "tokenizer": file_hash(home.tokenizer_paths(config))}
    manifest = read_manifest(directory)  # its parameters are verified when they are loaded
    check_hashes(manifest, hashes, where=directory)
    tokenizer = Tokenizer.load(home.path)
    graph, template = abstract(config.model, tokenizer.source_size, tokenizer.target_size)
    return Member(
        graph=graph,
        parameters=restore_parameters(directory, template),
        config=config,
        tokenizer=tokenizer,
        statistics=home.load_statistics(),
        run=str(run),
        checkpoint=directory.name,
        step=manifest.step,
        parameters_sha256=manifest.parameters_sha256,
    )


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
