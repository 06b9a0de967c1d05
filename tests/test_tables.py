"""The values that a knob accepts are the names in its table."""

from typing import Literal, get_args, get_origin

import pytest

from data.sources import SOURCES
from data.vocabulary.pieces import TOKENIZER_FILES
from dragoman.evaluation.metrics import METRICS
from dragoman.runs.recipe import KNOBS
from transformer.devices import STRATEGIES
from transformer.model import ASSEMBLIES
from transformer.model.feed_forward import FEED_FORWARDS
from transformer.model.kernels import KERNELS
from transformer.model.norms import NORMS
from transformer.model.positions import POSITIONS
from transformer.model.reading import READINGS
from transformer.training.objective import OBJECTIVES
from transformer.training.optimizer import OPTIMIZERS
from transformer.training.schedules import SCHEDULES

TABLES = {
    "data.corpus": SOURCES,
    "data.vocabulary": TOKENIZER_FILES,
    "model.assembly": ASSEMBLIES,
    "model.source_attention": READINGS,
    "model.activation": FEED_FORWARDS,
    "model.norm": NORMS,
    "model.positions": POSITIONS,
    "model.attention_kernel": {"auto", "xla", *KERNELS},
    "training.objective": OBJECTIVES,
    "training.optimizer": OPTIMIZERS,
    "training.schedule": SCHEDULES,
    "training.metric": METRICS,
    "devices.strategy": STRATEGIES,
}
"""The table of each knob that has one."""

WITHOUT_TABLE = {
    "data.denoise_sides",
    *("data.toy_task", "data.subword_model", "data.normalization", "data.cleaning", "data.batching"),
    *("model.norm_position", "model.tied", "model.precision", "model.layer_loop"),
    *("decoding.penalty", "decoding.sentences", "decoding.capitals"),
    "devices.compile_ahead",
}
"""Knobs without a table, whose few values the code compares by name."""

CHOICES = {name for name, field in KNOBS.items() if get_origin(field.annotation) is Literal}


@pytest.mark.parametrize("knob", sorted(TABLES))
def test_a_knob_offers_what_its_table_holds(knob):
    assert set(get_args(KNOBS[knob].annotation)) == set(TABLES[knob])


def test_each_knob_that_offers_names_has_a_table_or_is_known_to_have_none():
    assert set(TABLES) | WITHOUT_TABLE == CHOICES
