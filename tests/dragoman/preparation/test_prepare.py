import pytest

from data.batching.order import Order
from data.sources import load_corpora
from data.sources.statistics import source_statistics
from data.storage.cache import Cache
from dragoman.evaluation.training_text import FILE, prepared_training_text
from dragoman.preparation.prepare import prepare
from dragoman.preparation.report import lines
from dragoman.runs.run import Run
from dragoman.training.start import learn_vocabulary
from transformer.config import Config

WORDS = ["Hund", "Katze", "Haus", "Baum", "Fluss", "Berg", "Weg", "Tag"]


def pairs_of_text():
    """42 pairs: 37 plain ones, and one of each kind that the survey looks for."""
    plain = [
        (f"the {i} small {a} sees the {b}", f"{i} kleine {a} sieht {b}") for i, a in enumerate("abcde") for b in WORDS
    ]
    return [
        *plain[:37],
        plain[0],  # a duplicate
        ("www.example.org", "www.example.org"),  # a copy
        ("собака спит на диване", "der Hund schläft"),  # another script
        ("a dog", "ein Hund " * 20),  # odd lengths, and too long
        ("The OLD house  is red", "Das alte Haus ist rot"),  # in the test set, written differently
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("text")
    texts = {
        "train": [*pairs_of_text(), ("", "leer")],
        "dev": [("a tree", "ein Baum"), ("one more dog", "ein Hund, " * 9)],
    }
    texts["test"] = [("the old house is red", "das alte Haus ist rot"), ("x", "y")]
    for split, pairs in texts.items():
        for side, language in enumerate(("en", "de")):
            (directory / f"{split}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    knobs = {"vocabulary_size": 320, "maximum_tokens": 60, "cache": str(directory / "cache")}
    return Config.model_validate({"data": {"directory": str(directory), **knobs}})


@pytest.fixture(scope="module")
def found(config):
    return prepare(config)


def test_it_counts_pairs_and_tokens(found):
    (corpus,) = found["corpora"]
    assert (corpus["pairs"], corpus["left_out"]) == (42, {"empty side": 1})
    for side in ("source", "target"):
        assert corpus[side]["median"] <= corpus[side]["p90"] <= corpus[side]["p99"] <= corpus[side]["longest"]
        assert corpus[side]["tokens"] == pytest.approx(42 * corpus[side]["mean"], abs=1)
    assert found["vocabulary"]["target"] == 320


def test_it_says_what_each_filter_drops_with_examples(found):
    assert {reason: one["pairs"] for reason, one in found["dropped"].items()} == {
        "empty side": 0,
        "too long": 1,
        "unbalanced": 0,
    }
    (example,) = found["dropped"]["too long"]["examples"]
    assert (example["pair"], example["source"], len(example["target"])) == (41, "a dog", 121)


def test_it_finds_duplicates_copies_and_overlap(found):
    assert (found["duplicates"]["pairs"], found["duplicates"]["sources"]) == (1, 1)
    assert found["duplicates"]["examples"][0]["times"] == 2
    assert found["copies"] == 1
    overlap = found["overlap"]["test"]
    assert [overlap[f"{what}_in_training"] for what in ("sources", "targets", "pairs")] == [1, 1, 1]
    assert overlap["examples"] == [{"source": "the old house is red", "target": "das alte Haus ist rot"}]
    assert found["overlap"]["validation"]["pairs_in_training"] == 0
    assert [found["overlap"][split]["near_in_training"] for split in ("validation", "test")] == [1, 0]


def test_the_survey_finds_pairs_in_another_script_or_of_odd_lengths(found):
    odd = found["odd"]
    assert odd["examined"] == 42
    assert [example["pair"] for example in odd["source_script"]["examples"]] == [40]
    assert odd["target_script"]["pairs"] == 0
    assert [example["pair"] for example in odd["length_ratio"]["examples"]] == [41]


def test_all_of_it_is_said_in_words(found):
    text = "\n".join(lines(found))
    for words in (
        "42 pairs, 1 left out: empty side",
        "dropped in training, too long: 1 pairs",
        "duplicates: 1 pairs repeat an earlier one (kept; data.drop_duplicates drops them)",
        "test set: of 2 pairs, the training text contains 1 (1 source lines, 1 target lines), and 0 more share "
        "13 words in a row with it",
        "odd: 1 of 42 pairs looked at: source in another script",
        "    train.en train.de, pair 40: собака спит на диване  |||  der Hund schläft",
    ):
        assert words in text


def test_what_is_prepared_is_not_prepared_again(config, found):
    cache = Cache(config.data.cache)
    before = {entry.path: (entry.path / "manifest.json").stat().st_ino for entry in cache.entries()}
    again = prepare(config)
    assert {entry.path: (entry.path / "manifest.json").stat().st_ino for entry in cache.entries()} == before
    assert {**again, "seconds": 0} == {**found, "seconds": 0}


def test_training_then_finds_all_of_it_in_the_cache(config, found, tmp_path):
    config = config.model_copy(update={"data": config.data.model_copy(update={"drop_duplicates": True})})
    assert prepare(config)["seconds"].keys() == found["seconds"].keys() | {"duplicates"}
    cache = Cache(config.data.cache)
    prepared = {entry.path for entry in cache.entries()}
    run = Run(tmp_path / "run")
    run.make()
    train = load_corpora(config.data, "train")
    learn_vocabulary(config, run, train)
    Order(train, config.data, seed=1)
    assert {entry.path for entry in cache.entries()} == prepared
    assert run.load_statistics() == source_statistics(config.data, train)
    cached = prepared_training_text(config.data, train)
    assert (run.path / FILE).read_bytes() == cached.read_bytes()
