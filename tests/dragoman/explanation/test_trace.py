"""What a trace shows is the forward pass itself."""

import numpy as np
import pytest

from dragoman.explanation.lens import landing, logit_lens
from dragoman.explanation.residual import residual_sizes
from dragoman.explanation.trace import plain, trace
from dragoman.translation.translator import Translator
from tests.support.tiny_run import tiny_parameters
from transformer.config import Config, ModelConfig
from transformer.model import merge


def test_tracing_changes_no_bit_of_the_result(translator, found):
    traced = trace(translator, found.reading.source, found.reading.target)
    untraced = merge(translator.graph, translator.parameters).features(traced.batch)
    assert traced.shown
    assert np.asarray(untraced).tobytes() == np.asarray(traced.features).tobytes()


def test_the_last_reading_of_the_lens_is_what_the_model_predicts(translator, found):
    traced = trace(translator, found.reading.source, found.reading.target)
    vocabulary = translator.tokenizer.target_vocabulary()
    logits = np.asarray(traced.assembled.logits(traced.features))[0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for readings, row, label in zip(logit_lens(traced, vocabulary), expected, found.reading.target, strict=True):
        assert readings[-1].top[0][0] == vocabulary[row.argmax()]
        np.testing.assert_allclose([one[1] for one in readings[-1].top], np.sort(row)[::-1][:5], rtol=1e-4)
        np.testing.assert_allclose(readings[-1].entropy, -(row * np.log(row)).sum(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(readings[-1].probability, row[label], rtol=1e-4)
        assert readings[landing(readings)].top[0][0] == readings[-1].top[0][0]


def test_the_stream_after_a_sub_layer_is_the_stream_before_it_plus_what_it_adds(translator, found):
    traced = trace(translator, found.reading.source, found.reading.target)
    for stack in ("encoder", "decoder"):
        stream = traced.stream(stack)
        for number, (layer, kind) in enumerate(traced.sublayers(stack)):
            added = traced.shown[f"{stack}/{layer}/{kind}/added"]
            np.testing.assert_array_equal(plain(stream[number] + added), plain(stream[number + 1]))
        assert all(0 < size.share < 1 for size in residual_sizes(traced, stack))


VARIANTS = [
    {"norm_position": "post", "norm": "rms", "tied": "none"},
    {"positions": "rotary", "precision": "bfloat16", "activation": "swiglu", "decoder_layers": 2},
]


@pytest.mark.slow
@pytest.mark.parametrize("knobs", VARIANTS, ids=lambda knobs: " ".join(knobs))
def test_other_kinds_of_layers_are_traced_as_well(translator, knobs):
    changed = ModelConfig(**{**translator.config.model.model_dump(), **knobs})
    config = Config(**{**dict(translator.config), "model": changed})
    graph, parameters = tiny_parameters(config, translator.tokenizer, seed=1)
    model = Translator.of(graph, parameters, config, translator.tokenizer)
    traced = trace(model, [4, 5, 6, 3], [5, 4, 3])
    assert (
        np.asarray(merge(graph, parameters).features(traced.batch)).tobytes() == np.asarray(traced.features).tobytes()
    )
    logits = np.asarray(traced.assembled.logits(traced.features))[0]
    readings = logit_lens(traced, translator.tokenizer.target_vocabulary())
    assert [len(own) for own in readings] == [changed.decoder_layers + 1] * 3
    likeliest = translator.tokenizer.target_pieces(logits.argmax(-1).tolist())
    assert [own[-1].top[0][0] for own in readings] == likeliest
    for kind in ("self_attention", "cross_attention"):
        np.testing.assert_allclose(np.stack(traced.weights("decoder", kind)).sum(-1), 1, atol=1e-6)
    assert len(residual_sizes(traced, "decoder")) == 3 * changed.decoder_layers
