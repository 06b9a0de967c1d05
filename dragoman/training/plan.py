"""The plan of a run: everything decided before the first update, in one immutable record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

import jax
from flax import nnx

from data.batching.packing import Share, batch_shapes, empty_share
from dragoman.runs.identity import check_config
from dragoman.training.memory import (
    GIB,
    batch_tokens,
    check_update,
    device_kind,
    largest_update,
    more_parts,
    smallest_memory,
)
from transformer.config import Config
from transformer.devices import STRATEGIES
from transformer.devices.kernels import candidate_kernels, choose_kernel
from transformer.devices.mesh import MeshStrategy
from transformer.devices.pmap import PmapStrategy
from transformer.devices.processes import on_first
from transformer.model import Parameters, abstract
from transformer.model.dense import resolve_precision

Strategy = MeshStrategy | PmapStrategy

UNKNOWN = object()

NOTEWORTHY = 0.01
"""Empty rows are reported if they are at least this fraction of a batch."""


@dataclass(frozen=True)
class Plan:
    """What a run computes, and its layout over devices and processes.

    In `config`, only model.layer_loop may be "auto".
    """

    config: Config
    source_vocabulary: int
    target_vocabulary: int
    graph: nnx.GraphDef
    abstract_parameters: Parameters  # shapes and types
    strategy: Strategy
    batch_shapes: tuple[tuple[int, int, int], ...]  # rows, source length, target length
    share: Share  # the rows of each batch that this process takes
    rows_per_device: int  # in a batch of the longest rows
    notes: tuple[str, ...]  # lines for the user

    @property
    def batch_tokens(self) -> int:
        """Target tokens of an update."""
        return batch_tokens(self.config)

    def in_more_parts(self) -> "Plan":
        """The plan with twice as many parts, after running out of memory. InputError if that is impossible."""
        parts = more_parts(self.config.training.accumulation, rows=self.rows_per_device, processes=jax.process_count())
        config = self.config.with_training({"accumulation": parts})
        return lay_out(config, self.source_vocabulary, self.target_vocabulary)


def make_plan(config: Config, source_vocabulary: int, target_vocabulary: int) -> Plan:
    """The plan of a recipe on the available devices: first every "auto" is resolved, then the layout is decided."""
    notes = []
    config = config.with_model({"precision": on_first(partial(resolve_precision, config.model.precision))})
    if config.training.batch_tokens == "auto":
        tokens, note = find_batch_tokens(config, source_vocabulary, target_vocabulary)
        config = config.with_training({"batch_tokens": tokens})
        notes.append(note)
    else:
        check_update(
            config,
            source_vocabulary=source_vocabulary,
            target_vocabulary=target_vocabulary,
            available=smallest_memory(),
        )
    kernel, lines = on_first(partial(find_attention_kernel, config))
    config = config.with_model({"attention_kernel": kernel})
    notes += lines
    return lay_out(config, source_vocabulary, target_vocabulary, notes=notes)


def keep_resolved(config: Config, stored: Config, *, where: Path, note: Callable[[str], None]) -> Config:
    """The recipe of a resumed run, in which each "auto" keeps the value that the stored config resolved it to.

    `note` is called if the precision changes, or differs from what "auto" would choose on this device. InputError
    names a knob that must not change.
    """
    config = keep_unnamed(config, stored)
    usual = resolve_precision("auto")
    if stored.model.precision == "auto":  # from an earlier version, which resolved it at each start
        stored = stored.with_model({"precision": usual})
    if config.model.precision == "auto":
        config = config.with_model({"precision": stored.model.precision})
    if config.training.batch_tokens == "auto":
        config = config.with_training({"batch_tokens": stored.training.batch_tokens})
    before, after = stored.model.precision, config.model.precision
    can_stay = before == after and stored.model.attention_kernel in ("xla", *candidate_kernels(config))
    if config.model.attention_kernel == "auto" and can_stay:  # kernels are tried with that precision
        config = config.with_model({"attention_kernel": stored.model.attention_kernel})
    check_config(stored, config, where=where)
    if before != after:
        note(f"model.precision is {after} from here on; it was {before}")
    elif after != usual:
        note(
            f'model.precision stays {after}, as the run began; on this device "auto" would be {usual}: '
            f"--model.precision {usual} changes it"
        )
    return config


def keep_unnamed(config: Config, stored: Config) -> Config:
    """The recipe of a resumed run, in which knobs that it does not name keep the default of the run's version.

    This concerns fixed knobs that are newer than the run, or whose default has changed since.
    """
    for name, section in config:
        kept = {
            knob: getattr(getattr(stored, name), knob)
            for knob, facts in section.facts().items()
            if facts["on_resume"] == "fixed"
            and knob not in section.model_fields_set
            and getattr(getattr(stored, name), knob)
            in (facts.get("before", UNKNOWN), facts.get("default_before", UNKNOWN))
        }
        config = config.model_copy(update={name: section.model_copy(update=kept)})
    return config


def find_batch_tokens(config: Config, source_vocabulary: int, target_vocabulary: int) -> tuple[int, str]:
    """The target tokens of the largest update that fits the devices, and a line to print."""
    tokens, needed, available = largest_update(
        config, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary, available=smallest_memory()
    )
    is_cut = 2 * tokens > config.training.batch_tokens_limit
    return tokens, (
        f'training.batch_tokens = "auto": {tokens} tokens an update ({needed / GIB:.2f} GiB of the '
        f"{available / GIB:.2f} GiB of {device_kind()})"
        + (", limited by training.batch_tokens_limit" if is_cut else "")
    )


def find_attention_kernel(config: Config) -> tuple[str, list[str]]:
    """The attention kernel for the run's batches, and lines on why others were rejected and why it was chosen."""
    choice = choose_kernel(config, batch_shapes(config.data, batch_tokens=batch_tokens(config)))
    if choice is not None:
        lines = (*choice.refused, f"{choice.kernel} ({choice.reason})")
        return choice.kernel, [f'model.attention_kernel = "auto": {line}' for line in lines]
    return "xla" if config.model.attention_kernel == "auto" else config.model.attention_kernel, []


def lay_out(config: Config, source_vocabulary: int, target_vocabulary: int, *, notes: Sequence[str] = ()) -> Plan:
    """The plan of a config in which each "auto" has been resolved."""
    graph, abstract_parameters = abstract(config.model, source_vocabulary, target_vocabulary)
    strategy = STRATEGIES[config.devices.strategy](graph, config)
    shapes = tuple(batch_shapes(config.data, batch_tokens=batch_tokens(config)))
    return Plan(
        config=config,
        source_vocabulary=source_vocabulary,
        target_vocabulary=target_vocabulary,
        graph=graph,
        abstract_parameters=abstract_parameters,
        strategy=strategy,
        batch_shapes=shapes,
        share=share_with_padding(strategy, config),
        rows_per_device=ceil(min(rows for rows, *_ in shapes) / strategy.row_devices),
        notes=(*notes, *padding_note(shapes, strategy, config), model_note(abstract_parameters, strategy, config)),
    )


def share_with_padding(strategy: Strategy, config: Config) -> Share:
    """This process's share of the rows of each batch, after padding to a multiple of devices times parts."""
    part, parts = strategy.row_share
    return Share(part, parts, strategy.row_devices * config.training.accumulation)


def padding_note(shapes: Sequence[tuple[int, int, int]], strategy: Strategy, config: Config) -> list[str]:
    """A line on the empty rows that pad batches, or none if they are too few to matter."""
    devices, accumulation = strategy.row_devices, config.training.accumulation
    empty = empty_share(shapes, devices * accumulation)
    if empty < NOTEWORTHY:
        return []
    return [
        f"batches are padded with empty rows to a multiple of devices {devices} x training.accumulation {accumulation}"
        f", at most {empty:.0%} of a batch: results do not change, and larger batches waste less"
    ]


def model_note(abstract_parameters: Parameters, strategy: Strategy, config: Config) -> str:
    """A line on the model's size, its precision and its devices."""
    size = sum(x.size for x in jax.tree.leaves(abstract_parameters))
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return (
        f"model: {size:,} parameters, products in {config.model.precision}, on {strategy.device_count} x "
        f"{device_kind()}{processes}"
    )
