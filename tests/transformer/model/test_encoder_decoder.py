"""Relations that hold for every architecture: cached equals full, packed equals alone, the future changes nothing."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data.batch import BOS, EOS, Batch, TokenPair
from data.batching.layout import make_batch
from transformer.config import ModelConfig
from transformer.model import ASSEMBLIES, Assembly, abstract, merge, split
from transformer.model.dropout import DropoutKey
from transformer.model.encoder_decoder import EncoderDecoder
from transformer.model.tap import tap

VOCABULARY = 40
ARCHITECTURES = [
    ModelConfig(
        encoder_layers=2, decoder_layers=1, width=32, heads=4, feed_forward=48, maximum_length=24,
        positions=positions, norm=norm, norm_position=norm_position, activation=activation, tied=tied,
        precision="float32",
    )
    for positions, norm, norm_position, activation, tied in [
        ("sinusoidal", "layer", "pre", "relu", "all"),
        ("sinusoidal", "layer", "post", "gelu", "output"),
        ("learned", "rms", "pre", "swiglu", "none"),
        ("rotary", "layer", "pre", "gelu", "all"),
        ("rotary", "rms", "post", "swiglu", "all"),
    ]
]  # fmt: skip
PAIRS = [TokenPair([5, 6, 7, EOS], [8, 9, 10]), TokenPair([11, 12, EOS], [13, 14, 15, 16]), TokenPair([17, EOS], [18])]


def build(config: ModelConfig) -> Any:
    sizes = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    return ASSEMBLIES[config.assembly](config, **sizes, rngs=nnx.Rngs(3))


def logits(model: Assembly, batch: Batch) -> np.ndarray:
    return np.asarray(model.output().logits(model.features(batch)))


def batch_of(*rows: list[TokenPair], source_length: int = 12, target_length: int = 12, rows_count: int = 0) -> Batch:
    batch = make_batch(
        rows, source_length=source_length, target_length=target_length, rows_count=rows_count or len(rows)
    )
    return jax.tree.map(jnp.asarray, batch)


@pytest.fixture(params=ARCHITECTURES, ids=lambda c: f"{c.positions}-{c.norm}-{c.norm_position}-{c.activation}-{c.tied}")
def model(request) -> EncoderDecoder:
    return build(request.param)


def test_packed_sentences_score_as_they_do_alone(model):
    packed = logits(model, batch_of(PAIRS))[0]
    start = 0
    for pair in PAIRS:
        length = len(pair.target) + 1
        alone = logits(model, batch_of([pair]))[0, :length]
        np.testing.assert_allclose(packed[start : start + length], alone, atol=2e-5)
        start += length


def test_padding_of_rows_and_columns_changes_nothing(model):
    tight = logits(model, batch_of([PAIRS[0]], source_length=4, target_length=4))
    padded = logits(model, batch_of([PAIRS[0]], source_length=20, target_length=16, rows_count=3))
    np.testing.assert_allclose(padded[:1, :4], tight, atol=2e-5)
    assert np.isfinite(padded).all()


def test_the_future_changes_nothing_and_the_past_does(model):
    pair = TokenPair([5, 6, 7, EOS], [8, 9, 10, 11])
    later = pair._replace(target=[8, 9, 30, 31])
    first, second = logits(model, batch_of([pair])), logits(model, batch_of([later]))
    np.testing.assert_array_equal(first[0, :3], second[0, :3])
    assert np.abs(first[0, 3] - second[0, 3]).max() > 1e-3


def test_every_source_token_reaches_every_target_position(model):
    pair = TokenPair([5, 6, 7, EOS], [8, 9])
    reference = logits(model, batch_of([pair]))[0, :3]
    for place in range(3):
        source = list(pair.source)
        source[place] = 30
        changed = logits(model, batch_of([pair._replace(source=source)]))[0, :3]
        assert (np.abs(changed - reference).max(axis=-1) > 1e-4).all()


def test_cached_decoding_equals_decoding_the_whole_target(model):
    pair = PAIRS[1]
    batch = batch_of([pair], [PAIRS[0]])
    full = logits(model, batch)
    cache = model.grow(model.begin(batch.source, beams=2), 12)
    for place in range(4):
        tokens = jnp.repeat(batch.target_inputs[:, place : place + 1], 2, axis=1)
        step, cache = model.step(tokens, jnp.full(len(tokens), place), cache)
        np.testing.assert_allclose(step[:, 0], full[:, place], atol=2e-5)
        np.testing.assert_allclose(step[:, 1], full[:, place], atol=2e-5)


def test_a_reordered_cache_continues_the_chosen_parent(model):
    batch = batch_of([PAIRS[0]])

    def run(prefixes, parents, last):
        cache = model.grow(model.begin(batch.source, beams=2), 6)
        for place, column in enumerate(itertools.zip_longest(*prefixes)):
            _, cache = model.step(jnp.array([column], jnp.int32), jnp.array([place]), cache)
        cache = model.reorder(cache, jnp.array([parents]))
        return model.step(jnp.array([last], jnp.int32), jnp.array([len(prefixes[0])]), cache)[0]

    swapped = run([[BOS, 5], [BOS, 6]], [1, 1], [7, 8])
    direct = run([[BOS, 6], [BOS, 6]], [0, 1], [7, 8])
    np.testing.assert_allclose(swapped, direct, atol=1e-5)


def test_splitting_and_merging_gives_the_same_model_and_the_abstract_one_agrees(model):
    graph, parameters = split(model)
    batch = batch_of(PAIRS)
    np.testing.assert_array_equal(logits(merge(graph, parameters), batch), logits(model, batch))


def test_the_abstract_model_has_the_shapes_of_the_real_one():
    for config in ARCHITECTURES:
        graph, parameters = split(build(config))
        abstract_graph, shapes = abstract(config, VOCABULARY, VOCABULARY)
        assert graph == abstract_graph
        assert jax.tree.map(jnp.shape, parameters) == jax.tree.map(lambda x: x.shape, shapes)


def test_tied_embeddings_share_one_matrix_and_untied_ones_do_not():
    names = {config.tied: sorted(k for k in split(build(config))[1] if "embedding" in k) for config in ARCHITECTURES}
    assert names["all"] == ["target_embedding"]
    assert names["output"] == ["source_embedding", "target_embedding"]
    assert names["none"] == ["output_embedding", "source_embedding", "target_embedding"]


@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16_float32"])
def test_lower_precision_stays_close_to_float32(precision):
    config = ARCHITECTURES[0]
    exact = logits(build(config), batch_of(PAIRS))
    rounded = logits(build(config.model_copy(update={"precision": precision})), batch_of(PAIRS))
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()


def test_looking_at_a_model_changes_no_bit_and_shows_every_part_of_every_layer(model):
    batch = batch_of(PAIRS, [PAIRS[0]])
    expected = model.features(batch)
    with tap() as shown:
        np.testing.assert_array_equal(model.features(batch), expected)
    encoder = {f"encoder/0/{part}/{name}" for part in ("self_attention", "feed_forward") for name in ("input", "added")}
    decoder = {f"decoder/0/{part}/{name}" for part in ("self_attention", "cross_attention") for name in ("weights",)}
    assert encoder | decoder <= shown.keys()
    for name, array in shown.items():
        if name.endswith("weights"):
            np.testing.assert_allclose(array.sum(-1), 1.0, atol=1e-5)
    x, added = shown["encoder/0/self_attention/input"], shown["encoder/0/self_attention/added"]
    residual = model.encoder[0].self_attention_residual
    np.testing.assert_array_equal(shown["encoder/0/feed_forward/input"], residual.after(x, added))


def test_a_tap_shows_only_what_is_wanted_and_nothing_outside_of_it(model):
    name = model.alignment_name(0)
    with tap(lambda shown: shown == name) as shown:
        model.features(batch_of(PAIRS))
    seen = dict(shown)
    model.features(batch_of(PAIRS))
    assert list(seen) == list(shown) == [name]


def test_weights_that_are_shown_are_those_that_attention_uses(model):
    batch = batch_of(PAIRS)
    layer = model.decoder[0].cross_attention
    memory = model.encode(batch.source, batch.source_segments, batch.source_positions)
    with tap() as shown:
        model.features(batch)
    values = layer.project_source(memory).values
    attended = layer.join_heads(jnp.einsum("BNTS,BNSH->BNTH", shown[model.alignment_name(0)], values))
    np.testing.assert_allclose(shown["decoder/0/cross_attention/added"], attended, atol=2e-5)


@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda c: f"{c.positions}-{c.norm_position}-{c.tied}")
def test_layers_as_a_scan_are_the_unrolled_layers_and_so_are_their_gradients(config):
    """With dropout, whose random bits depend on the layer, and with rematerialised layers."""
    config = config.model_copy(update={"decoder_layers": 3, "dropout": 0.2, "activation_dropout": 0.1})
    batch, key = batch_of(PAIRS), DropoutKey(jax.random.key(5))

    def value_and_gradients(**changes):
        graph, parameters = split(build(config.model_copy(update=changes)))

        def loss(parameters):
            return jnp.sum(jnp.square(merge(graph, parameters).features(batch, dropout_key=key)))

        return jax.jit(jax.value_and_grad(loss))(parameters)

    unrolled = value_and_gradients(layer_loop="unrolled")
    for changes in ({"layer_loop": "scan"}, {"layer_loop": "scan", "rematerialize": True}):
        found = value_and_gradients(**changes)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, unrolled)


def test_a_scan_compiles_one_layer_whatever_their_number():
    batch = batch_of(PAIRS)

    def lines(layers: int, layer_loop: str) -> int:
        config = ARCHITECTURES[0].model_copy(
            update={"encoder_layers": layers, "decoder_layers": layers, "layer_loop": layer_loop}
        )
        graph, parameters = split(build(config))
        program = jax.jit(lambda parameters: merge(graph, parameters).features(batch)).lower(parameters)
        return program.as_text().count("dot_general")

    assert lines(2, "scan") == lines(6, "scan")
    assert lines(6, "unrolled") > 2 * lines(6, "scan")
