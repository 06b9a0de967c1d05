"""A decoder-only model has the relations of every assembly, reads no target in its source, and looks at its source."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, TokenPair
from tests.transformer.model.test_encoder_decoder import (  # noqa: F401  # these relations hold for every assembly
    PAIRS,
    VOCABULARY,
    batch_of,
    build,
    logits,
    test_a_reordered_cache_continues_the_chosen_parent,
    test_a_tap_shows_only_what_is_wanted_and_nothing_outside_of_it,
    test_cached_decoding_equals_decoding_the_whole_target,
    test_every_source_token_reaches_every_target_position,
    test_packed_sentences_score_as_they_do_alone,
    test_padding_of_rows_and_columns_changes_nothing,
    test_splitting_and_merging_gives_the_same_model_and_the_abstract_one_agrees,
    test_the_future_changes_nothing_and_the_past_does,
)
from transformer.config import Config, DecodingConfig, ModelConfig
from transformer.decoding import SearchPlan
from transformer.decoding.batches import in_order
from transformer.decoding.ensemble import Ensemble
from transformer.decoding.request import make_request
from transformer.decoding.scoring import forced_pair, score_pairs
from transformer.decoding.searcher import search_sentences
from transformer.model import abstract, merge, split
from transformer.model.decoder_only import DecoderOnly
from transformer.model.dropout import DropoutKey
from transformer.model.masks import CausalMask, PrefixMask
from transformer.model.reading import Causal
from transformer.model.tap import tap

ARCHITECTURES = [
    ModelConfig(
        assembly="decoder_only", source_attention=reading, positions=positions, norm=norm, norm_position=norm_position,
        activation=activation, decoder_layers=2, width=32, heads=4, feed_forward=48, maximum_length=24,
        precision="float32",
    )
    for reading, positions, norm, norm_position, activation in [
        ("bidirectional", "sinusoidal", "layer", "pre", "relu"),
        ("bidirectional", "learned", "layer", "post", "gelu"),
        ("causal", "rotary", "rms", "pre", "swiglu"),
    ]
]  # fmt: skip
by_reading = pytest.mark.parametrize("config", [ARCHITECTURES[0], ARCHITECTURES[2]], ids=lambda c: c.source_attention)


@pytest.fixture(params=ARCHITECTURES, ids=lambda c: f"{c.source_attention}-{c.positions}-{c.norm_position}")
def model(request) -> DecoderOnly:
    return build(request.param)


def source_features(model: DecoderOnly, batch) -> np.ndarray:
    return np.asarray(model.features_of_both(batch)[:, : batch.source.shape[1]])


def test_the_source_never_sees_the_target(model):
    first, second = (batch_of([PAIRS[0]._replace(target=target)]) for target in ([8, 9, 10], [20, 21]))
    np.testing.assert_array_equal(source_features(model, first), source_features(model, second))


@by_reading
def test_a_source_token_sees_its_whole_sentence_or_what_precedes_it(config):
    sources = [5, 6, 7, EOS], [5, 6, 30, EOS]
    first, second = (source_features(build(config), batch_of([TokenPair(list(one), [8])]))[0, :4] for one in sources)
    changed = np.abs(first - second).max(-1) > 1e-6
    # Read causally, the tokens are <s> 5 6 7: the features of the first three predict 5, 6 and the token that differs.
    assert changed.tolist() == ([True] * 4 if config.source_attention == "bidirectional" else [False] * 3 + [True])


def test_a_pair_is_one_text_to_a_causal_model():
    """Without packing and padding, source and target are one sequence, and so are two parts of it."""
    model = build(ARCHITECTURES[2])
    whole = batch_of([TokenPair([5, 6, EOS], [8, 9])], source_length=3, target_length=3)
    other = batch_of([TokenPair([5, 6, BOS, 8, EOS], [10])], source_length=5, target_length=2)
    whole, other = model.features_of_both(whole), model.features_of_both(other)  # <s> 5 6 <s> 8 9; <s> 5 6 <s> 8 <s> 10
    np.testing.assert_allclose(whole[:, :5], other[:, :5], atol=1e-5)


def test_the_mask_of_a_prefix_is_that_of_its_docstring():
    sources, targets = jnp.array([[1, 1, 2]]), jnp.array([[1, 1, 2]])
    drawn = """
    xx. ...
    xx. ...
    ..x ...
    xx. x..
    xx. xx.
    ..x ..x
    """
    rows = [line.replace(" ", "") for line in drawn.split("\n") if line.strip()]
    visible = PrefixMask(sources, targets).visible()[0, 0]
    assert ["".join("x" if one else "." for one in row) for row in visible.tolist()] == rows
    both = CausalMask(jnp.concatenate([sources, targets], axis=1)).visible()
    assert (both <= PrefixMask(sources, targets).visible()).all()


def test_attention_to_the_source_sums_to_one_in_steps_as_over_whole_targets(model):
    batch, names = batch_of([PAIRS[0]], [PAIRS[1]]), [model.alignment_name(layer) for layer in range(2)]
    with tap(names.__contains__) as whole:
        model.features(batch)
    cache = model.grow(model.begin(batch.source, beams=2), 12)
    for place in range(4):
        tokens = jnp.repeat(batch.target_inputs[:, place : place + 1], 2, axis=1)
        with tap(names.__contains__) as step:
            _, cache = model.step(tokens, jnp.full(len(tokens), place), cache)
        assert list(step) == list(whole) == names
        for name in names:
            np.testing.assert_allclose(step[name][:, :, 0], whole[name][:, :, place], atol=1e-5)
            np.testing.assert_allclose(step[name].sum(-1), 1.0, atol=1e-5)
            assert (step[name][0, ..., 4:] == 0).all()


def test_attention_to_what_a_causal_model_reads_belongs_to_the_token_read():
    segments, positions = jnp.array([[1, 1, 1, 2, 2, 0]]), jnp.array([[0, 1, 2, 0, 1, 0]])
    read = jnp.array([[[[0, 1, 2, 3, 4, 5]]]]).astype(jnp.float32)  # <s> a1 a2 <s> b1 . for a1 a2 </s> b1 </s> .
    assert Causal.by_token(read, segments, positions).tolist() == [[[[1, 2, 0, 4, 3, 5]]]]


@by_reading
@pytest.mark.parametrize("beam", [1, 4])
def test_the_score_of_a_hypothesis_in_search_is_its_forced_score(config, beam):
    graph, parameters = split(build(config))
    parameters = jax.tree.map(lambda x: x * 2.0 if x.ndim > 1 else x, parameters)
    sources = [[*range(5, 5 + size), EOS] for size in (1, 3, 8, 15, 19)]
    plan = SearchPlan(DecodingConfig(beam=beam, rows=2), maximum_length=24, keep=beam)
    requests = [make_request(plan, source) for source in sources]
    found = in_order(search_sentences(Ensemble.of((graph, parameters)), requests, plan), len(sources))
    pairs = [
        forced_pair(source, one.tokens, is_finished=one.is_finished)
        for source, hypotheses in zip(sources, found, strict=True)
        for one in hypotheses
    ]
    forced = in_order(score_pairs(graph, parameters, pairs, rows=8, maximum_length=24), len(pairs))
    searched = [one.log_probability for hypotheses in found for one in hypotheses]
    assert len(pairs) >= beam * len(sources)
    assert [float(row.sum()) for row in forced] == pytest.approx(searched, rel=1e-5)


def test_without_a_source_the_target_is_the_beginning_of_the_text(model):
    """The cache of an empty source: a causal model writes a source text, token by token as it reads one."""
    cache = model.grow(model.begin(jnp.zeros((1, 16), jnp.int32), beams=1), 4)
    steps = []
    for place, token in enumerate([BOS, 5, 6]):
        logits_, cache = model.step(jnp.array([[token]]), jnp.array([place]), cache)
        steps.append(np.asarray(logits_[0, 0]))
    assert np.isfinite(steps).all()
    if model.reading is Causal:
        read = source_features(model, batch_of([TokenPair([5, 6, EOS], [8])]))
        np.testing.assert_allclose(steps, model.logits(jnp.asarray(read))[0, :3], atol=2e-5)


@by_reading
def test_layers_as_a_scan_or_computed_again_are_the_unrolled_layers(config):
    config, key = config.model_copy(update={"decoder_layers": 3, "dropout": 0.2}), DropoutKey(jax.random.key(5))

    def gradients(**changes):
        graph, parameters = split(build(config.model_copy(update=changes)))

        def loss(parameters):
            return jnp.sum(jnp.square(merge(graph, parameters).features(batch_of(PAIRS), dropout_key=key)))

        return jax.jit(jax.grad(loss))(parameters)

    close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4)
    expected = gradients(layer_loop="unrolled")
    jax.tree.map(close, gradients(layer_loop="scan", rematerialize=True), expected)


def test_the_abstract_model_has_the_shapes_of_the_real_one():
    for config in ARCHITECTURES:
        graph, parameters = split(build(config))
        abstract_graph, shapes = abstract(config, VOCABULARY, VOCABULARY)
        assert graph == abstract_graph
        assert jax.tree.map(jnp.shape, parameters) == jax.tree.map(lambda x: x.shape, shapes)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"model": {"tied": "output"}}, 'model.tied is "output", but .* with one matrix: set model.tied to "all"'),
        (
            {"model": {"attention_kernel": "pallas"}},
            'model.attention_kernel is "pallas", which cannot express',
        ),
        (
            {"training": {"objective": "both_sides"}},
            'training.objective is "both_sides", .* set model.assembly to "decoder_only" and model.source_attention',
        ),
        (
            {"model": {"assembly": "encoder_decoder", "source_attention": "causal"}},
            "model.source_attention is for decoder_only: set model.assembly",
        ),
        ({"data": {"denoise_share": 0.3}}, "data.denoise_share is for denoising_encoder: set model.assembly"),
        ({"model": {"start_encoder": "run"}}, 'model.start_encoder is set, but model.assembly "decoder_only" has no'),
    ],
)
def test_what_a_decoder_only_model_does_not_support_is_rejected_by_name(knobs, message):
    values = {**knobs, "model": {"assembly": "decoder_only"} | knobs.get("model", {})}
    with pytest.raises(ValueError, match=message):
        Config.model_validate(values)
