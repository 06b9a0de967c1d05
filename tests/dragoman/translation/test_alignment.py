"""From pieces to words and from attention to alignments: odd text loses nothing, and a known alignment is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.batch import Pair
from data.config import DataConfig
from data.sources.corpus import Corpus
from data.text.scripts import split_words
from data.vocabulary.tokenizer import Tokenizer, learn_tokenizer
from dragoman.translation.alignment import (
    AlignmentLayer,
    align_words,
    characters_of_bytes,
    choose_layer,
    f_score,
    format_pharaoh,
    surfaces,
    usual_alignment_layer,
    word_confidences,
    word_of_each_piece,
)
from dragoman.translation.statistical_alignment import align_statistically, plain_word

TEXT = [
    "ein Hund läuft über die Wiese", "der Hund schläft", "a dog runs over the grass", "the dog sleeps", "½ ein ﬁnger",
]  # fmt: skip
ODD = [
    "a\tb",
    "ab\u00a0c",
    "a\u2028b  c",
    "😀 x😀y",
    "▁ ein▁Hund",
    "\ufdd0",
    "ﬁn ½",
    "¨ x",
    "日本語 です",
    "ein狗。ein",
    "ภาษาไทยน้ำ ខ្មែរ",
    "é e\u0301",
    "\x85",
]


def tokenizer(**settings) -> Tokenizer:
    config = DataConfig(**{"vocabulary_size": 310, "character_coverage": 1.0} | settings)
    corpus = Corpus("test", [Pair(line, line) for line in TEXT], weight=None, dropped={}, fingerprint="")
    return learn_tokenizer(config, [corpus])


@pytest.fixture(scope="module")
def identity() -> Tokenizer:
    return tokenizer()


def words_of(pieces: list[str]) -> list[str]:
    """The words that pieces spell, without </s>."""
    return split_words("".join(surfaces([piece for piece in pieces if piece != "</s>"])))


def pieces_of(tokenizer: Tokenizer, line: str) -> list[str]:
    return tokenizer.target_pieces(tokenizer.encode_target([line])[0])


# --- pieces and words ------------------------------------------------------------------------------------------------


def test_pieces_spell_text_as_in_the_example():
    assert surfaces(["▁ein", "▁", "<0xC3>", "<0xB6>", "l", "<0xC3>"]) == [" ein", " ", "ö", "", "l", "\ufffd"]
    assert characters_of_bytes(b"\xc3\xb6\xc3") == ["ö", "", "\ufffd"]
    assert words_of(["▁ein", "▁H", "und", "</s>"]) == ["ein", "Hund"]
    pieces = ["▁", "H", "und", "▁läu", "ft", "."]
    assert word_of_each_piece(pieces, ["Hund", "läuft."]) == [0, 0, 0, 1, 1, 1]


LINES = st.lists(st.sampled_from(["ein", "Hund", "ab", "\u00fc", "😀", "<unk>", "<0x41>", *ODD]), max_size=8).map(
    " ".join
)


@given(LINES | st.text(max_size=20).filter(lambda text: "\n" not in text))
def test_words_of_pieces_are_the_words_of_the_line_whatever_is_in_it(identity, line):
    pieces = pieces_of(identity, line)
    spelled = identity.target_words(line)
    assert words_of(pieces) == spelled
    assert len(spelled) == len(split_words(line))
    owners = word_of_each_piece(pieces, spelled)
    assert owners == sorted(owners)
    for number, word in enumerate(spelled):
        assert words_of([piece for piece, owner in zip(pieces, owners, strict=False) if owner == number]) == [word]


@given(st.lists(st.integers(4, 309), max_size=12))
def test_words_of_any_ids_are_the_words_of_their_text(identity, ids):
    text = identity.decode([ids])[0]
    assert len(words_of(identity.target_pieces(ids))) == len(split_words(text))


@pytest.mark.parametrize("normalization", ["nfkc", "nmt_nfkc"])
@pytest.mark.parametrize("subword_model", ["bpe", "unigram"])
def test_normalised_words_are_counted_as_they_are_spelled(normalization, subword_model):
    normalised = tokenizer(normalization=normalization, subword_model=subword_model, vocabulary_size=290)
    for line in ["ein ½ Hund ﬁnger", "①② ein\u00a0Hund", "ein Hund\tläuft", *ODD]:
        words = normalised.source_words(line)
        assert len(words) == len(split_words(line))
        owners = word_of_each_piece(pieces_of(normalised, line), words)
        assert set(owners) == {number for number, word in enumerate(words) if word}
    assert normalised.source_words("½ ﬁn") == ["1⁄2", "fin"]


def test_pieces_of_a_line_in_parts_belong_to_the_words_of_the_line(identity):
    line = "ein  Hund läuft.Ein Hund"
    parts = ["ein", "Hund läuft.", "Ein Hund"]
    pieces = [piece for part in parts for piece in pieces_of(identity, part)]
    owners = word_of_each_piece(pieces, identity.source_words(line))
    assert [owners[place] for place in np.cumsum([0, *(len(pieces_of(identity, part)) for part in parts[:-1])])] == [
        0,
        1,
        2,
    ]
    assert owners[-1] == 3


def test_an_unknown_piece_extends_to_the_next_known_piece():
    unknowing = tokenizer(byte_fallback=False, vocabulary_size=60)
    pieces = pieces_of(unknowing, "日本ein 語 Hund語")
    assert pieces.count("<unk>") == 3
    owners = word_of_each_piece(pieces, unknowing.target_words("日本ein 語 Hund語"))
    assert unknowing.target_words("日本ein 語 Hund語") == ["日", "本", "ein", "語", "Hund", "語"]
    assert [owners[place] for place, piece in enumerate(pieces) if piece == "<unk>"] == [0, 3, 5]
    assert set(owners) == {0, 2, 3, 4, 5}


def test_a_line_without_words_has_no_owners(identity):
    assert word_of_each_piece(pieces_of(identity, " "), []) == []


# --- alignments ------------------------------------------------------------------------------------------------------

ATTENTION = np.array(
    [
        # a0    a1    b    EOS
        [0.30, 0.30, 0.40, 0.00],  # x0: a, by the sum of its pieces
        [0.10, 0.10, 0.20, 0.60],  # y, ignoring EOS: a tie, so a
        [0.00, 0.00, 0.10, 0.90],  # EOS
    ],
    np.float32,
)


def test_a_target_word_is_linked_to_the_source_word_with_the_largest_sum():
    assert align_words(ATTENTION, [0, 0, 1], [0, 1], shift=0) == [(0, 0), (0, 1)]
    assert align_words(ATTENTION, [0, 0, 1], [0, 0], shift=0) == [(0, 0)]
    assert align_words(ATTENTION, [0, 0, 1], [0, 1], shift=1) == [(0, 0), (1, 1)]
    assert align_words(ATTENTION[:2], [0, 0, 1], [0, 1], shift=1) == [(0, 0), (0, 1)]  # unfinished: no step after


def test_a_side_without_words_has_no_links():
    assert align_words(ATTENTION, [], [0, 1], shift=0) == align_words(ATTENTION, [0, 0, 1], [], shift=0) == []


def test_pharaoh_format_is_sorted():
    assert format_pharaoh([(1, 2), (0, 0)]) == "0-0 1-2"


def test_agreement_is_two_thirds_for_one_common_link_of_one_and_two():
    assert f_score([[(0, 0)], []], [[(0, 0)], [(1, 1)]]) == pytest.approx(2 / 3)
    assert f_score([[]], [[]]) == 1.0


def test_the_layer_and_shift_that_agree_best_are_chosen():
    reference = [[(0, 0), (1, 1)]]
    found = {
        AlignmentLayer(0, 0): [[]],
        AlignmentLayer(0, 1): [[(0, 0)]],
        AlignmentLayer(1, 0): reference,
        AlignmentLayer(1, 1): reference,
    }
    best, scores = choose_layer(found.__getitem__, 2, reference)
    assert best == AlignmentLayer(1, 0)
    assert scores == pytest.approx(
        {AlignmentLayer(0, 0): 0, AlignmentLayer(0, 1): 2 / 3, AlignmentLayer(1, 0): 1, AlignmentLayer(1, 1): 1}
    )
    assert usual_alignment_layer(2) == best


def test_the_statistical_aligner_finds_words_in_any_order():
    words = {"das": "the", "haus": "house", "buch": "book", "ein": "a", "rot": "red", "ist": "is"}
    generator = np.random.default_rng(0)
    pairs, reference = [], []
    for _ in range(60):
        source = generator.permutation(list(words))[: generator.integers(1, 5)]
        order = generator.permutation(len(source))
        pairs.append(Pair(" ".join(source) + ".", " ".join(words[source[place]] for place in order).title() + "!"))
        reference.append([(int(place), target) for target, place in enumerate(order)])
    assert f_score(align_statistically([*pairs, Pair("", "")])[:-1], reference) > 0.95


def test_the_statistical_aligner_ignores_case_and_punctuation():
    assert [plain_word(word) for word in ("Hund.", "„Ja!“", "...")] == ["hund", "ja", "..."]


# --- confidence ------------------------------------------------------------------------------------------------------


def test_the_confidence_of_a_word_is_the_product_of_its_pieces():
    assert word_confidences(np.log([0.5, 0.8, 0.5, 0.9]), [0, 1, 1], 2) == pytest.approx([0.5, 0.4])
