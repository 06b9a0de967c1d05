"""A run starts with the encoder, or the stack, of another: exactly its parameters, or one line on why not."""

from pathlib import Path

import jax
import numpy as np
import pytest

from data.errors import InputError
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from dragoman.runs.checkpoint import restore_parameters
from dragoman.training.start_from import STARTS, started
from tests.support.tiny_run import CONFIG, make_run, tiny_parameters

PARTS = {
    "start_encoder": ("denoising_encoder", "encoder_decoder", {"embedding": "target_embedding"}),
    "start_decoder": ("decoder_only", "decoder_only", {"embedding": "embedding"}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("starts")
    return {
        assembly: str(make_run(directory / assembly, CONFIG.with_model({"assembly": assembly})))
        for assembly in ("denoising_encoder", "decoder_only")
    }


@pytest.fixture(scope="module")
def tokenizer():
    return learn_tokenizer(CONFIG.data, load_corpora(CONFIG.data, "train"))


@pytest.mark.parametrize("knob", STARTS)
def test_the_named_part_and_the_embeddings_are_those_of_the_run_and_the_rest_is_not(knob, runs, tokenizer):
    theirs, ours, tables = PARTS[knob]
    config = CONFIG.with_model({"assembly": ours, knob: runs[theirs]})
    _, initial = tiny_parameters(config, tokenizer, seed=99)
    found = started(initial, config, tokenizer)
    _, template = tiny_parameters(CONFIG.with_model({"assembly": theirs}), tokenizer, seed=1)
    saved = restore_parameters(Path(runs[theirs], "checkpoints", "10"), template)
    assert found.keys() == initial.keys()
    for name, part in saved.items():
        jax.tree.map(np.testing.assert_array_equal, found[tables.get(name, name)], part)
    for name in initial.keys() - {tables.get(name, name) for name in saved}:
        jax.tree.map(np.testing.assert_array_equal, found[name], initial[name])


@pytest.mark.parametrize(
    ("knob", "run", "changes", "message"),
    [
        ("start_encoder", "decoder_only", {}, 'has model.assembly "decoder_only": expected encoder_decoder or denois'),
        ("start_encoder", "denoising_encoder", {"encoder_layers": 3}, "has model.encoder_layers 1, and this run 3"),
        ("start_encoder", "denoising_encoder", {"heads": 4}, "has model.heads 2, and this run 4: make them alike"),
    ],
)
def test_a_run_that_does_not_fit_is_rejected_with_the_difference(knob, run, changes, message, runs, tokenizer):
    config = CONFIG.with_model({knob: runs[run], **changes})
    with pytest.raises(InputError, match=message):
        started({}, config, tokenizer)


def test_another_vocabulary_is_rejected_with_the_one_to_take(runs):
    data = CONFIG.data.model_copy(update={"vocabulary_size": 300})
    other = learn_tokenizer(data, load_corpora(data, "train"))
    config = CONFIG.with_model({"start_encoder": runs["denoising_encoder"]})
    with pytest.raises(
        InputError, match=r"has another vocabulary: set data.tokenizer to that of the run, .*/tokenizer"
    ):
        started({}, config, other)
