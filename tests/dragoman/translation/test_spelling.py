"""All spellings of a word in pieces."""

from data.config import DataConfig
from data.sources import load_corpora
from data.vocabulary.tokenizer import learn_tokenizer
from dragoman.translation import spelling
from dragoman.translation.spelling import spell, spellings


def vocabulary(*pieces: str) -> dict[str, int]:
    return {piece: place for place, piece in enumerate(pieces)}


def test_every_spelling_of_a_word_is_found_shortest_first():
    known = vocabulary("▁", "▁a", "▁ab", "a", "b", "ab", "▁c")
    assert spellings("ab", known) == [(2,), (0, 5), (1, 4), (0, 3, 4)]
    assert spellings("ab c", known)[0] == (2, 6)
    assert spellings("abx", known) == []


def test_a_character_that_is_no_piece_is_spelled_in_bytes():
    known = vocabulary("▁", "▁a", "a", "<0xC3>", "<0xB6>")
    assert spellings("aö", known) == [(1, 3, 4), (0, 2, 3, 4)]
    assert spellings("ä", known) == []


def test_the_usual_spelling_of_a_phrase_is_banned_even_if_shorter_ones_fill_the_list(monkeypatch):
    config = DataConfig(corpus="toy", toy_pairs=300, vocabulary_size=310)
    tokenizer = learn_tokenizer(config, load_corpora(config, "train"))
    phrase = "abcdefg hijklmn"
    monkeypatch.setattr(spelling, "spellings", lambda word, pieces: [(4, 5)])
    assert spell([phrase], tokenizer)[phrase] == [tuple(tokenizer.encode_target([phrase])[0]), (4, 5)]


def test_without_spaces_a_word_may_follow_other_characters_and_pieces_may_go_beyond_it():
    known = vocabulary("▁", "狗", "▁狗", "天狗", "狗人", "天狗人", "人")
    assert set(spellings("狗", known)) == {(0, 1), (2,), (1,), (3,), (4,), (5,)}
    assert set(spellings("狗人", known)) == {(0, 1, 6), (0, 4), (2, 6), (1, 6), (4,), (3, 6), (5,)}


def test_a_word_is_spelled_as_the_vocabulary_normalises_it_and_an_unwritable_one_has_no_spelling():
    config = DataConfig(corpus="toy", toy_pairs=300, vocabulary_size=40, byte_fallback=False, normalization="nfkc")
    tokenizer = learn_tokenizer(config, load_corpora(config, "train"))
    ways = spell(["ａｂｃ", "🙂"], tokenizer)
    assert tuple(tokenizer.encode_target(["abc"])[0]) in ways["ａｂｃ"]
    assert ways["🙂"] == []
    with_bytes = learn_tokenizer(
        DataConfig(corpus="toy", toy_pairs=300, vocabulary_size=310), [*load_corpora(config, "train")]
    )
    written = {"".join(with_bytes.target_pieces(way)) for way in spell(["日本"], with_bytes)["日本"]}
    assert "".join(f"<0x{byte:02X}>" for byte in "日本".encode()) in written
