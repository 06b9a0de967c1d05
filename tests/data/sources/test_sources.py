import gzip
import json

import pytest

from data.batch import Pair
from data.config import DataConfig
from data.errors import InputError
from data.sources import SOURCES, load_corpora
from data.sources.corpus import Corpus, draw_shares
from data.sources.files import MANY
from data.storage.cache import Cache


def write(directory, **files):
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text, encoding="utf-8", newline="")


def config_of(directory, **knobs):
    return DataConfig(directory=str(directory), **knobs)


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_a_directory_of_split_and_language_files_is_a_corpus(tmp_path, name):
    write(tmp_path, **{f"{name}_en": "a\nb\n", f"{name}_de": "x\ny\n"})
    (corpus,) = load_corpora(config_of(tmp_path), "validation")
    assert list(corpus.pairs) == [Pair("a", "x"), Pair("b", "y")]


def test_a_pair_with_an_empty_side_is_dropped_whole_and_counted(tmp_path):
    write(tmp_path, train_en="a\n\nc\n \u3000\nodd\u2028line\n", train_de="x\ny\n\nz\nw\n")
    (corpus,) = load_corpora(config_of(tmp_path, cleaning="none"), "train")
    assert list(corpus.pairs) == [Pair("a", "x"), Pair("odd\u2028line", "w")]
    assert corpus.dropped == {"empty side": 3}


@pytest.mark.parametrize("gap", [None, 123_456])
def test_which_pairs_of_a_large_corpus_have_text_is_found_once(tmp_path, gap):
    lines = [f"{number}" for number in range(MANY + 5)]
    write(tmp_path, train_en="\n".join(lines), train_de="\n".join(" " if line == str(gap) else line for line in lines))
    config = config_of(tmp_path, cache=str(tmp_path / "cache"))
    for _ in range(2):
        (corpus,) = load_corpora(config, "train")
        assert len(corpus.pairs) == len(lines) - (gap is not None)
        assert corpus.dropped == {"empty side": int(gap is not None)}
        after = "123457" if gap else "123456"
        assert corpus.pairs[123_455:123_457] == [Pair("123455", "123455"), Pair(after, after)]
    (entry,) = (entry for entry in Cache(config.cache).entries() if entry.path.name.startswith("pairs-"))
    assert (entry.path / "kept").exists() == (gap is not None)


def test_three_file_formats_give_the_same_pairs(tmp_path):
    pairs = [Pair("a b", "x\u2029"), Pair("c", "y")]
    write(tmp_path, a_en="a b\nc\n", a_de="x\u2029\ny\n", a_tsv="a b\tx\u2029\nc\ty\n")
    write(tmp_path, b_jsonl="".join(json.dumps({"en": s, "de": t}) + "\n" for s, t in pairs))
    write(tmp_path, c_jsonl="".join(json.dumps({"source": s, "target": t}) + "\n\n" for s, t in pairs))
    (tmp_path / "d.tsv.gz").write_bytes(gzip.compress((tmp_path / "a.tsv").read_bytes()))
    names = [["a.en", "a.de"], ["a.tsv"], ["d.tsv"]]
    config = config_of(tmp_path, train=names, cleaning="none")
    assert [list(corpus.pairs) for corpus in load_corpora(config, "train")] == [pairs] * 3
    spaced = [Pair("a b", "x "), Pair("c", "y")]  # JSON can hold a line break in a text: a space, as in any output
    names = [["b.jsonl"], ["c.jsonl"]]
    config = config_of(tmp_path, train=names, cleaning="none")
    assert [list(corpus.pairs) for corpus in load_corpora(config, "train")] == [spaced] * 2


def test_the_fingerprint_is_of_the_text(tmp_path):
    write(tmp_path, a_en="a\n", a_de="x\n", b_en="a\n", b_de="x\n", c_en="a\n", c_de="y\n")
    corpora = load_corpora(config_of(tmp_path, train=[[f"{n}.en", f"{n}.de"] for n in "abc"]), "train")
    a, b, c = (corpus.fingerprint for corpus in corpora)
    assert a == b != c


def test_weights_stay_with_their_corpora(tmp_path):
    write(tmp_path, a_tsv="a\tx\n", b_tsv="b\ty\n")
    knobs = {"train": [["a.tsv"], ["b.tsv"]], "train_weights": [3.0, 1.0]}
    assert [corpus.weight for corpus in load_corpora(config_of(tmp_path, **knobs), "train")] == [3.0, 1.0]


@pytest.mark.parametrize(
    ("files", "knobs", "message"),
    [
        ({"train_en": "a\nb\n", "train_de": "x\n"}, {}, "train.en has 2 lines and .*train.de has 1"),
        ({}, {}, r"no train\.en \(or with \.gz, \.xz, \.zst\): name the files in data\.train"),
        ({"train_en": "a\n"}, {}, r"train\.de: no such file"),
        ({"train_en": "\n", "train_de": "x\n"}, {}, "no pair with text on both sides, in 1 lines"),
        ({"a_tsv": "a\tb\tc\n"}, {"train": [["a.tsv"]]}, r"a\.tsv, line 1: 3 columns: expected 2, en and de"),
        (
            {"a_jsonl": '{"en": "a", "fr": "x"}\n'},
            {"train": [["a.jsonl"]]},
            r'line 1: expected an object with texts at "en"',
        ),
        ({"a_jsonl": '{"en": "a"\n'}, {"train": [["a.jsonl"]]}, r"a\.jsonl, line 1: not JSON"),
        ({"a_jsonl": "\n" + "[" * 200_000}, {"train": [["a.jsonl"]]}, "line 2: expected an object with texts at"),
        (
            {"a_jsonl": r'{"source": "a \ud83d b", "target": "c"}'},
            {"train": [["a.jsonl"]]},
            r'a\.jsonl, line 1: the text at "source" has half a character, \\ud83d, as character 3: give both halves',
        ),
        ({"a_txt": "a\n"}, {"train": [["a.txt"]]}, r"a corpus in one file is \.tsv or \.jsonl"),
        ({}, {"train": [["a", "b", "c"]]}, r"expected \[source file, target file\]"),
        ({"a_tsv": "a\tx\n"}, {"train": [["a.tsv"]], "train_weights": [1.0, 2.0]}, "2 weights for 1 corpora"),
        ({"a_tsv": "a\tx\n"}, {"train": [["a.tsv"]], "train_weights": [0.0]}, "found 0.0: weights must be above 0"),
        ({}, {"corpus": "toy", "train_weights": [1.0]}, 'weights are for corpus "files", and data.corpus is "toy"'),
    ],
)
def test_bad_files_are_refused_with_what_was_found(tmp_path, files, knobs, message):
    write(tmp_path, **files)
    with pytest.raises(InputError, match=message):
        load_corpora(config_of(tmp_path, **knobs), "train")


def test_the_share_of_a_corpus_is_by_size_or_by_weight():
    sizes, weights = (300, 100), (1.0, 3.0)
    by_size = [Corpus("c", [Pair("a", "b")] * size, None, {}, "") for size in sizes]
    assert draw_shares(by_size) == [0.75, 0.25]
    by_weight = [corpus._replace(weight=weight) for corpus, weight in zip(by_size, weights, strict=True)]
    assert draw_shares(by_weight) == [0.25, 0.75]


def test_every_kind_of_corpus_has_a_loader():
    assert set(SOURCES) == set(DataConfig.model_fields["corpus"].annotation.__args__)


@pytest.mark.parametrize(("task", "order"), [("copy", 1), ("reverse", -1)])
def test_the_toy_target_copies_or_reverses_lines_training_never_saw(task, order):
    config = DataConfig(corpus="toy", toy_task=task, toy_symbols=5, toy_length=6, toy_pairs=3000)
    splits = {split: load_corpora(config, split)[0].pairs for split in ("train", "validation", "test")}
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 3000, "validation": 200, "test": 500}
    for pairs in splits.values():
        assert all(pair.target.split() == pair.source.split()[::order] for pair in pairs)
    seen = {split: {pair.source for pair in pairs} for split, pairs in splits.items()}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]
    assert len(seen["test"]) == 500
    lengths = [len(pair.source.split()) for pair in splits["train"]]
    assert (min(lengths), max(lengths)) == (1, 6)


def test_a_toy_too_small_to_hold_lines_out_is_refused():
    with pytest.raises(InputError, match="toy_length 3 allow 14 lines, too few"):
        load_corpora(DataConfig(corpus="toy", toy_symbols=2, toy_length=3), "train")
