"""Starts a model with the encoder, or the stack of layers, of a trained run: `model.start_encoder`, `start_decoder`."""

import jax.numpy as jnp

from data.errors import InputError
from data.vocabulary.tokenizer import Tokenizer
from dragoman.messages import say
from dragoman.translation.members import Member, load_member
from transformer.config import Config
from transformer.model import Parameters

ALIKE = ("width", "heads", "feed_forward", "activation", "norm", "norm_position", "positions", "maximum_length")
"""Knobs that must be the same in both runs, besides the number of layers."""

STARTS = {
    "start_encoder": (
        "encoder_layers",
        ("encoder_decoder", "denoising_encoder"),
        ("encoder", "encoder_norm", "source_positions"),
    ),
    "start_decoder": ("decoder_layers", ("decoder_only",), ("decoder", "decoder_norm", "positions")),
}
"""For each knob, the number of layers that it needs, the assemblies that have the part, and its parameters."""


def started(parameters: Parameters, config: Config, tokenizer: Tokenizer) -> Parameters:
    """Initial parameters with those of the runs that the config names. InputError if a run does not fit."""
    runs = {"start_encoder": config.model.start_encoder, "start_decoder": config.model.start_decoder}
    for knob, (layers, _, names) in STARTS.items():
        if run := runs[knob]:
            member = load_member(run)
            check_fits(knob, member, config, tokenizer)
            own = {name: member.parameters[name] for name in names if name in member.parameters}
            own[source_table(parameters)] = member.parameters[source_table(member.parameters)]
            parameters = {**parameters, **{name: copied(part) for name, part in own.items()}}
            say(
                f"model.{knob}: {getattr(config.model, layers)} layers and the embeddings of {run}, checkpoint "
                f"{member.checkpoint}"
            )
    return parameters


def source_table(parameters: Parameters) -> str:
    """The name of the embeddings that the source is read with."""
    return next(name for name in ("embedding", "source_embedding", "target_embedding") if name in parameters)


def copied(part: Parameters) -> Parameters:
    """A copy of nested arrays: those of an update are overwritten."""
    return {name: copied(one) if isinstance(one, dict) else jnp.array(one) for name, one in part.items()}


def check_fits(knob: str, member: Member, config: Config, tokenizer: Tokenizer) -> None:
    """InputError if the run has no such part, or one of another shape or for another vocabulary."""
    layers, assemblies, _ = STARTS[knob]
    theirs, ours = member.config.model, config.model
    if theirs.assembly not in assemblies:
        raise InputError(
            f'model.{knob}: {member.run} has model.assembly "{theirs.assembly}": expected {" or ".join(assemblies)}'
        )
    for name in (layers, *ALIKE):
        if getattr(theirs, name) != getattr(ours, name):
            raise InputError(
                f"model.{knob}: {member.run} has model.{name} {getattr(theirs, name)}, and this run "
                f"{getattr(ours, name)}: make them alike"
            )
    if member.tokenizer.source_vocabulary() != tokenizer.source_vocabulary():
        raise InputError(
            f"model.{knob}: {member.run} has another vocabulary: set data.tokenizer to that of the run, "
            f"{member.run}/tokenizer.model"
        )
