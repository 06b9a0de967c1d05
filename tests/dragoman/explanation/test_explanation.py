"""The numbers of an explanation are those of the model, of its search and of its loss."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from data.errors import InputError
from tests.support.paths import ROOT
from transformer.config import Config, ModelConfig
from transformer.decoding.scoring import forced_pair, score_pairs


def test_its_numbers_can_be_written_and_rows_of_attention_sum_to_one(found):
    numbers = json.loads(json.dumps(found.numbers()))
    assert numbers["pieces"] == ["▁e", "▁e", "▁a", "▁b", "▁c", "</s>"]
    for name, columns in (("encoder_attention", 6), ("decoder_self_attention", 6), ("cross_attention", 6)):
        weights = np.array(numbers[name])
        assert weights.shape == (1, 2, 6, columns)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert not np.triu(np.array(numbers["decoder_self_attention"]), 1).any()
    assert numbers["reference"]["pieces"][-1] == numbers["target_pieces"][-1] == "</s>"


def test_the_documentation_lists_every_key(found):
    page = (ROOT / "docs" / "explaining.md").read_text(encoding="utf-8")
    keys = {
        key for row in re.findall(r"^\| (`[^|]*) \|", page, flags=re.MULTILINE) for key in re.findall(r"`(\w+)", row)
    }
    assert keys == set(found.numbers())


def test_its_translation_and_the_best_leaf_of_its_tree_are_what_translate_writes(translator, found):
    [text] = translator.translate(["e e a b c"])
    numbers = found.numbers()
    assert numbers["translation"] == numbers["beam"]["best_text"] == text
    assert numbers["beam"]["agrees"]
    [[ranked]] = translator.search(["e e a b c"])
    assert numbers["beam"]["nodes"][numbers["beam"]["best"]]["score"] == pytest.approx(ranked.score, rel=1e-5)


def test_merges_rebuild_the_pieces_and_positions_add_up(found):
    for piece, merges in zip(found.pieces[:-1], found.reading.merges, strict=False):
        assert "".join(merges[-1]) == piece
    positions = found.positions
    assert positions.kind == "sinusoidal"
    width = positions.vectors.shape[1]
    np.testing.assert_allclose(positions.position_sizes, (width / 2) ** 0.5, rtol=1e-5)  # sin² + cos² in each plane
    np.testing.assert_allclose(positions.distances, positions.distances.T, atol=1e-6)


def test_the_losses_of_the_reference_are_those_of_scoring_and_one_update_lowers_them(translator, found):
    source, learned = found.reading.source, found.reference.learned
    pair = forced_pair(source, translator.tokenizer.encode_target(["c b a e e"])[0])
    [(_, [scores])] = score_pairs(translator.graph, translator.parameters, [pair], rows=1, maximum_length=64)
    np.testing.assert_allclose(learned.losses, -scores, rtol=1e-4, atol=1e-5)
    assert sum(learned.losses_after) < sum(learned.losses)
    sizes = sum(size**2 for _, size in learned.gradients.values())
    whole = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(translator.parameters))
    assert sizes == pytest.approx(whole, rel=1e-5)  # no part is left out, and none counted twice


@pytest.mark.parametrize("text", ["", "The men saw it. They went away.", "a b " * 40])
def test_a_text_that_is_not_one_sentence_is_refused(translator, text):
    with pytest.raises(
        InputError, match=r"the text is (blank|searched in .* parts): an explanation follows one sentence"
    ):
        translator.explain(text)


def test_text_that_is_not_utf_8_is_refused(translator):
    with pytest.raises(InputError, match="the text is not UTF-8, from character 2 on"):
        translator.explain("a\udcff b")
    with pytest.raises(InputError, match="the reference is not UTF-8, from character 1 on"):
        translator.explain("a b", "\udcff")


def test_what_cannot_be_followed_is_refused_by_name(translator):
    with pytest.raises(InputError, match=r"follows beam search: leave out decoding\.sampling"):
        translator.with_(decoding={"sampling": True}).explain("a b")
    model = ModelConfig(**{**translator.config.model.model_dump(), "assembly": "decoder_only"})
    config = Config(**{**dict(translator.config), "model": model})
    with pytest.raises(
        InputError, match=r'model\.assembly is "decoder_only": only an "encoder_decoder" can be explained'
    ):
        replace(translator, config=config).explain("a b")
    with pytest.raises(InputError, match="the reference has 71 pieces with its end; the model reads at most 64"):
        translator.explain("a b", "a " * 70)
    with pytest.raises(InputError, match="the reference is blank"):
        translator.explain("a b", " ")
