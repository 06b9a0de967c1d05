"""What a trace shows is the forward pass itself."""

import numpy as np

from dragoman.explanation.lens import landing, logit_lens
from dragoman.explanation.residual import residual_sizes
from dragoman.explanation.trace import plain, trace
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
