"""The page has all parts, and every word that explains a Transformer."""

import re

import pytest
from markupsafe import escape

from dragoman.explanation.page import explanation_page

WORDS = [
    *("word embeddings", "sinusoidal positions", "masked self-attention", "query Q", "key K", "value V"),
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
