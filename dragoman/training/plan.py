"""The plan of a run: everything that is settled before the first update, in one immutable record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

import jax
from flax import nnx

from data.batching.pipeline import Share, batch_shapes, empty_share
from dragoman.runs.run import check_config
from dragoman.training.memory import GIB, device_kind, largest_update, more_parts, smallest_memory
from transformer.config import Config
from transformer.devices import STRATEGIES
from transformer.devices.kernels import candidates, choose
from transformer.devices.mesh import MeshStrategy
from transformer.devices.pmap import PmapStrategy
from transformer.devices.processes import on_first
from transformer.model import Parameters, abstract
from transformer.model.dense import resolve_precision

Strategy = MeshStrategy | PmapStrategy

NOTEWORTHY = 0.01
"""The part of a batch's rows that must be empty before the user is told."""


@dataclass(frozen=True)
class Plan:
    """What a run computes and how that is laid out over devices and processes. Nothing in `config` is "auto"."""

    config: Config
    source_vocabulary: int
    target_vocabulary: int
    graph: nnx.GraphDef
    abstract_parameters: Parameters  # shapes and types
    strategy: Strategy
    batch_shapes: tuple[tuple[int, int, int], ...]  # rows, source length, target length
    share: Share  # the rows of each batch that this process takes
    rows_per_device: int  # of a batch of the longest rows
    notes: tuple[str, ...]  # lines for the user

    @property
    def batch_tokens(self) -> int:
        """Target tokens of an update."""
        return batch_tokens(self.config)

    def in_more_parts(self) -> "Plan":
        """The same update in twice as many parts, after it ran out of memory. InputError where that is impossible."""
        parts = more_parts(self.config.training.accumulation, rows=self.rows_per_device, processes=jax.process_count())
        config = self.config.with_training({"accumulation": parts})
        return lay_out(config, self.source_vocabulary, self.target_vocabulary)


def make_plan(config: Config, source_vocabulary: int, target_vocabulary: int) -> Plan:
    """The plan of a recipe on the devices at hand: first what each "auto" stands for, then the layout."""
    notes = []
    config = config.with_model({"precision": on_first(partial(resolve_precision, config.model.precision))})
    if config.training.batch_tokens == "auto":
        tokens, note = find_batch_tokens(config, source_vocabulary, target_vocabulary)
        config = config.with_training({"batch_tokens": tokens})
        notes.append(note)
    kernel, lines = on_first(partial(find_attention_kernel, config))
    config = config.with_model({"attention_kernel": kernel})
    notes += lines
    return lay_out(config, source_vocabulary, target_vocabulary, notes=notes)


def keep_resolved(config: Config, stored: Config, *, where: Path, note: Callable[[str], None]) -> Config:
    """The recipe of a run that is resumed, in which "auto" stands for what it stood for in the stored config.

    `note` is called with a line where that is another precision than this device would have, or than before.
    InputError names a knob that has changed and may not.
    """
    usual = resolve_precision("auto")
    if stored.model.precision == "auto":  # an earlier version, which resolved it anew each time
        stored = stored.with_model({"precision": usual})
    if config.model.precision == "auto":
        config = config.with_model({"precision": stored.model.precision})
    if config.training.batch_tokens == "auto":
        config = config.with_training({"batch_tokens": stored.training.batch_tokens})
    before, after = stored.model.precision, config.model.precision
    can_stay = before == after and stored.model.attention_kernel in ("xla", *candidates(config))
    if config.model.attention_kernel == "auto" and can_stay:  # kernels were timed in that precision
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


def find_batch_tokens(config: Config, source_vocabulary: int, target_vocabulary: int) -> tuple[int, str]:
    """The tokens of the largest update that fits the devices, and a line on it."""
    tokens, needed, available = largest_update(
        config, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary, available=smallest_memory()
    )
    is_cut = 2 * tokens > config.training.batch_tokens_limit
    return tokens, (
        f'training.batch_tokens = "auto": {tokens} tokens an update ({needed / GIB:.2f} GiB of the '
        f"{available / GIB:.2f} GiB of {device_kind()})" + (", as training.batch_tokens_limit has it" if is_cut else "")
    )


def find_attention_kernel(config: Config) -> tuple[str, list[str]]:
    """The attention kernel for the run's batches, and lines on why others were refused and why it was chosen."""
    choice = choose(config, batch_shapes(config.data, batch_tokens=batch_tokens(config)))
    if choice is not None:
        lines = (*choice.refused, f"{choice.kernel} ({choice.reason})")
        return choice.kernel, [f'model.attention_kernel = "auto": {line}' for line in lines]
    return "xla" if config.model.attention_kernel == "auto" else config.model.attention_kernel, []


def batch_tokens(config: Config) -> int:
    """Target tokens of an update, where "auto" has been resolved."""
    assert isinstance(config.training.batch_tokens, int)
    return config.training.batch_tokens


def lay_out(config: Config, source_vocabulary: int, target_vocabulary: int, *, notes: Sequence[str] = ()) -> Plan:
    """The plan of a config in which nothing is "auto" any more."""
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
    """The rows that this process takes of each batch, once empty rows fill it up to a multiple of devices and parts."""
    part, parts = strategy.row_share
    return Share(part, parts, strategy.row_devices * config.training.accumulation)


def padding_note(shapes: Sequence[tuple[int, int, int]], strategy: Strategy, config: Config) -> list[str]:
    """A line on the empty rows that fill up batches; none if they are too few to matter."""
    devices, accumulation = strategy.row_devices, config.training.accumulation
    empty = empty_share(shapes, devices * accumulation)
    if empty < NOTEWORTHY:
        return []
    return [
        f"rows that do not divide by devices {devices} x training.accumulation {accumulation} are filled up "
        f"with empty ones, at most {empty:.0%} of a batch: it learns the same, and a larger batch wastes less"
    ]


def model_note(abstract_parameters: Parameters, strategy: Strategy, config: Config) -> str:
    """A line on the model's size, its arithmetic and its devices."""
    size = sum(x.size for x in jax.tree.leaves(abstract_parameters))
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return (
        f"model: {size:,} parameters, products in {config.model.precision}, on {strategy.device_count} x "
        f"{device_kind()}{processes}"
    )
