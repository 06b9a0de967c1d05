"""Masked places: probabilities that sum to 1, and a text that is otherwise unchanged."""

import numpy as np
import pytest

from data.batch import EOS
from data.batching.denoising import MASK
from data.errors import InputError
from data.sources import load_corpora
from dragoman.translation.filling import (
    Filler,
    fill_text,
    load_filler,
    masked_places,
    restored,
    restored_rows,
    tokens_of,
    word_of,
)
from tests.support.tiny_run import CONFIG, make_run


@pytest.fixture(scope="module")
def filler(tmp_path_factory) -> Filler:
    config = CONFIG.with_model({"assembly": "denoising_encoder"})
    return load_filler(make_run(tmp_path_factory.mktemp("filling") / "run", config))


def test_probabilities_of_all_words_sum_to_one_and_come_in_order(filler):
    pieces = filler.tokenizer.target_vocabulary()
    found = fill_text(filler, "a [MASK] c [MASK].", top=0)
    assert len(found.candidates) == 2
    for candidates in found.candidates:
        values = [probability for _, probability in candidates]
        assert len(values) == sum(id_ > EOS and "<0x" not in piece for id_, piece in enumerate(pieces))
        assert not {"##<unk>", "##<s>", "##</s>", "##<0x41>"} & {word for word, _ in candidates}
        assert sum(values) == pytest.approx(1.0, abs=1e-4)
        assert values == sorted(values, reverse=True)
    assert [one[:5] for one in found.candidates] == fill_text(filler, "a [MASK] c [MASK].").candidates


def test_what_is_not_masked_is_untouched(filler):
    assert fill_text(filler, "  A  b, c!") == ("  A  b, c!", [])
    found = fill_text(filler, "a  b, [MASK] d!", top=1)
    word = found.candidates[0][0][0]
    expected = "a  b," + word.removeprefix("##") if word.startswith("##") else f"a  b, {word}"
    assert found.text == f"{expected} d!"


def test_a_part_without_a_space_before_it_is_not_read_as_a_word(filler):
    tokenizer, pieces = filler.tokenizer, filler.tokenizer.target_vocabulary()
    apart, joined = (tokens_of(tokenizer, parts) for parts in (["a ", " b"], ["a ", "b"]))
    assert apart.count(MASK) == joined.count(MASK) == 1
    assert apart[-1] == joined[-1] == EOS
    [spaced, *_], [bare, *_] = (
        [pieces[id_] for id_ in tokens[tokens.index(MASK) + 1 : -1]] for tokens in (apart, joined)
    )
    assert spaced.startswith("▁")
    assert not bare.startswith("▁") or bare.removeprefix("▁") not in pieces
    assert [word_of(piece) for piece in ("▁horse", "s", "▁")] == ["horse", "##s", "##▁"]


def test_restored_rows_differ_only_where_they_were_masked_and_whatever_is_beside_them(filler):
    rows = [[*range(10, 10 + size), EOS] for size in (1, 5, 20, 30, *range(2, 9))]
    masks = [masked_places(row, 0.4) for row in rows]
    found = restored_rows(filler, rows, masks)
    assert [restored_rows(filler, [row], [mask])[0] for row, mask in zip(rows, masks, strict=True)] == found
    for row, mask, guess in zip(rows, masks, found, strict=True):
        assert mask.any()
        assert not mask[-1]
        assert np.array(row)[~mask].tolist() == np.array(guess)[~mask].tolist()
        assert min(guess) >= EOS
    assert sum(mask.sum() for mask in masks) == pytest.approx(0.4 * sum(map(len, rows)), rel=0.3)


def test_texts_of_both_sides_are_restored_in_alternation(filler):
    pairs = load_corpora(CONFIG.data, "test")[0].pairs[:6]
    found, texts = restored(filler, pairs)
    assert texts == [pair.source if number % 2 == 0 else pair.target for number, pair in enumerate(pairs)]
    assert len(found) == len(texts)


def test_what_cannot_be_filled_is_rejected(filler, tmp_path):
    with pytest.raises(InputError, match=r"the text has \d+ tokens with its end; the model reads at most 48"):
        fill_text(filler, "[MASK] " * 50)
    run = make_run(tmp_path / "run")
    with pytest.raises(InputError, match=r'model.assembly is "encoder_decoder", which is not trained to fill masked'):
        load_filler(run)
