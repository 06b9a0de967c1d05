"""Training and evaluation score the same held-out pairs."""

import pytest

from data.errors import InputError
from data.sources import SOURCES
from dragoman.commands.train import read_text
from dragoman.evaluation.held_out import held_out_pairs, own_test_sets, read_test_set, together
from transformer.config import Config, TrainingConfig


def config(directory, *, sentences: int = 0) -> Config:
    """Two corpora of three and of two pairs for validation; the second also has a pair with an empty side."""
    texts = {"one": "a b c", "two": "d e"}
    for name, text in texts.items():
        for side in ("en", "de"):
            lines = [f"{word} {side}\n" for word in text.split()]
            (directory / f"{name}.{side}").write_text("".join(lines) + ("\n" if name == "two" and side == "de" else ""))
    with (directory / "two.en").open("a") as file:
        file.write("f en\n")
    corpora = [[f"{name}.en", f"{name}.de"] for name in texts]
    splits = {"train": corpora[:1], "validation": corpora, "test": corpora}
    return Config(data={"directory": str(directory), **splits}, training=TrainingConfig(validation_sentences=sentences))


@pytest.mark.parametrize(
    ("sentences", "names", "sources"),
    [
        (0, ["one.en one.de", "two.en two.de"], "a b c d e"),
        (5, ["one.en one.de", "two.en two.de"], "a b c d e"),
        (4, ["one.en one.de", "two.en two.de, first 1"], "a b c d"),
        (3, ["one.en one.de"], "a b c"),
        (2, ["one.en one.de, first 2"], "a b"),
    ],
)
def test_the_validation_sets_of_evaluate_are_together_what_training_validates_on(
    tmp_path, capsys, sentences, names, sources
):
    recipe = config(tmp_path, sentences=sentences)
    test_sets = own_test_sets(recipe, "validation")
    assert [test_set.name for test_set in test_sets] == names
    whole = together(test_sets, "all of validation")
    assert (whole.name, whole.sources) == ("all of validation", [f"{word} en" for word in sources.split()])
    assert whole.reference == [f"{word} de" for word in sources.split()]
    assert (whole.language, whole.split) == ("de", "validation")
    pairs = read_text(recipe).validation
    assert [tuple(pair) for pair in pairs] == list(zip(whole.sources, whole.reference, strict=True))
    assert "warning: validation set two.en two.de: 1 pairs left out: empty side" in capsys.readouterr().err


def test_the_number_of_validation_sentences_does_not_cut_the_test_set(tmp_path):
    recipe = config(tmp_path, sentences=2)
    assert sum(len(test_set.sources) for test_set in own_test_sets(recipe, "test")) == len(read_text(recipe).test) == 5


def test_a_held_out_split_without_pairs_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setitem(SOURCES, "files", lambda config, split: [])
    with pytest.raises(InputError, match=r"the test set has no pairs: see data\.test and data\.directory"):
        held_out_pairs(config(tmp_path), "test")


def test_a_test_set_has_any_number_of_references_and_each_has_as_many_lines_as_the_source(tmp_path):
    files = {"source": "a\r\nb\r\n", "one": "c\nd\n", "two": "e\nf", "short": "g\n", "empty": ""}
    paths = {name: str(tmp_path / name) for name in files}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = read_test_set(paths["source"], paths["one"], paths["two"], language="de")
    assert (found.name, found.language, found.split) == ("source", "de", None)
    assert ([*found.sources], [[*lines] for lines in found.references]) == (["a", "b"], [["c", "d"], ["e", "f"]])
    both = together([found, found], "both")
    assert both.references == [["c", "d", "c", "d"], ["e", "f", "e", "f"]]
    with pytest.raises(InputError, match=r"source has 2 lines and .*short has 1: line n of one must translate line n"):
        read_test_set(paths["source"], paths["one"], paths["short"])
