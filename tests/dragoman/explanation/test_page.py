"""The page has all parts, and every word that explains a Transformer."""

import re

import pytest
from markupsafe import escape

from dragoman.explanation.page import explanation_page

WORDS = [
    *("tokenisation", "word embeddings", "sinusoidal positions"),
    *("masked self-attention", "query Q", "key K", "value V"),
    *("residual connections", "encoder-decoder attention", "cached attention", "layer normalisation"),
    *("feed-forward networks", "output layer", "loss", "back-propagation"),
]


@pytest.fixture(scope="module")
def page(found):
    return explanation_page(found)


def test_every_word_of_an_explanation_is_on_it(page):
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page)).lower()
    assert not [word for word in WORDS if word.lower() not in text]
    assert re.findall(r"<h2[^>]*>(\d)\. ", page) == [str(number) for number in range(1, 10)]


def test_it_shows_the_numbers_of_the_explanation(page, found):
    learned = found.reference.learned
    for number in (*learned.losses, found.tree.nodes[found.tree.best].score):
        assert f"{number:.3f}" in page
    for readings in found.lens:
        for one in readings:
            assert f"{escape(one.top[0][0])} {one.top[0][1]:.2f}</td>" in page
    assert page.count('<svg class="heat"') == 2 + 2 * 3
    assert page.count('<svg class="tree"') == 1


def test_without_a_reference_it_says_how_to_get_the_last_part(found):
    assert "With --reference" in explanation_page(found._replace(reference=None))


def test_parts_have_the_names_of_the_explainer_in_the_order_of_the_flow(page, found):
    parts = re.findall(r"<tr><th>([^<]*)</th><td class=\"bars\">", page)
    assert len(parts) == len(found.reference.learned.gradients)
    assert parts[:5] == [
        "word embeddings and output layer",
        "encoder 1, self-attention",
        "encoder 1, self-attention: normalisation",
        "encoder 1, feed-forward network",
        "encoder 1, feed-forward network: normalisation",
    ]
    attention = [parts.index(f"decoder 1, {name}") for name in ("masked self-attention", "encoder-decoder attention")]
    assert parts.index("encoder, last layer normalisation") < attention[0] < attention[1]
    assert parts[-1] == "decoder, last layer normalisation"
    assert '<td data-label="sub-layer">encoder-decoder attention</td>' in page


def test_what_heads_are_named_after_is_explained(page, found):
    roles = {head.role for heads in found.heads.values() for layer in heads for head in layer}
    assert roles
    for role in (*roles, "previous", "next", "itself", "same word", "separator", "broad", "mixed"):
        assert f"<b>{role}</b>" in page
