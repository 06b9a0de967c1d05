import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from data.config import DataConfig
from data.sources import load_corpora
from data.storage.cache import Cache
from data.tokens import store
from data.tokens.store import open_store, store_key
from data.vocabulary.tokenizer import learn_tokenizer
from tests.support.paths import ROOT

CONFIG = DataConfig(corpus="toy", toy_pairs=500, vocabulary_size=57, byte_fallback=False)
CORPORA = load_corpora(CONFIG, "train")
TOKENIZER = learn_tokenizer(CONFIG, CORPORA)
BUILD = """
import sys
from tests.data.tokens.test_store import CONFIG, CORPORA, TOKENIZER
from data.tokens.store import open_store
print("ready", flush=True)
sys.stdin.readline()
print(open_store(CORPORA, TOKENIZER, CONFIG.model_copy(update={"cache": sys.argv[1]})).directory, flush=True)
"""
SLOW_BUILD = """
import sys, time
from data.tokens import store
encode, store.CHUNK = store.Writer.append, 100
def append(writer, lines):
    encode(writer, lines)
    print("wrote", flush=True)
    time.sleep(600)
store.Writer.append = append
"""


def caching(directory, **knobs):
    return CONFIG.model_copy(update={"cache": str(directory), **knobs})


def tokens_of(opened):
    return [side.lists() for side in opened.tokens]


def expected():
    pairs = [pair for corpus in CORPORA for pair in corpus.pairs]
    return [
        [ids[:-1] for ids in TOKENIZER.encode_source([pair.source for pair in pairs])],
        TOKENIZER.encode_target([pair.target for pair in pairs]),
    ]


def started(program, directory):
    command = [sys.executable, "-c", program, str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("chunk", [1, 7, 20000])
def test_it_holds_the_ids_of_all_lines_whatever_is_tokenised_at_once(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(store, "CHUNK", chunk)
    opened = open_store(CORPORA * 2, TOKENIZER, caching(tmp_path))
    assert tokens_of(opened) == [side * 2 for side in expected()]
    assert opened.tokens.source.values.dtype == np.uint16


def test_a_large_vocabulary_takes_four_bytes_an_id(tmp_path, monkeypatch):
    monkeypatch.setattr(TOKENIZER, "target_size", 65537)
    opened = open_store(CORPORA, TOKENIZER, caching(tmp_path))
    assert opened.tokens.source.values.dtype == np.uint32
    assert tokens_of(opened) == expected()


def test_a_text_is_tokenised_once(tmp_path, monkeypatch):
    first = open_store(CORPORA, TOKENIZER, caching(tmp_path))
    monkeypatch.setattr(store, "write_store", None)
    for knobs in ({}, {"row_length": 64, "maximum_tokens": 9}, {"subword_sampling": 0.1, "workers": 3}):
        assert open_store(CORPORA, TOKENIZER, caching(tmp_path, **knobs)).directory == first.directory


def test_another_text_vocabulary_or_direction_has_other_tokens():
    (corpus,) = CORPORA
    other = learn_tokenizer(CONFIG.model_copy(update={"subword_model": "unigram"}), CORPORA)
    swapped = [pair._replace(source=pair.target, target=pair.source) for pair in corpus.pairs]
    keys = [
        store_key(CORPORA, TOKENIZER, CONFIG),
        store_key(CORPORA, other, CONFIG),
        store_key(CORPORA * 2, TOKENIZER, CONFIG),
        store_key([corpus._replace(fingerprint="other")], TOKENIZER, CONFIG),
        store_key([corpus._replace(pairs=swapped)], TOKENIZER, CONFIG),
        store_key(CORPORA, TOKENIZER, CONFIG.model_copy(update={"source_language": "fr"})),
    ]
    assert len(set(map(str, keys))) == len(keys)


@pytest.mark.parametrize("name", ["source.ids", "target.starts", "type"])
@pytest.mark.parametrize("harm", ["shorten", "flip", "remove"])
def test_a_damaged_store_is_noticed_and_made_again(tmp_path, capfd, name, harm):
    path = open_store(CORPORA, TOKENIZER, caching(tmp_path)).directory / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if harm != "remove":
        path.write_bytes(content if harm == "flip" else content[:-1])
    assert tokens_of(open_store(CORPORA, TOKENIZER, caching(tmp_path))) == expected()
    assert re.search(rf"{name} .*: the entry is built again\n", capfd.readouterr().err)


def test_a_killed_build_leaves_nothing_that_is_trusted(tmp_path):
    with started(SLOW_BUILD + BUILD, tmp_path) as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "wrote\n"]
        process.send_signal(signal.SIGKILL)
    assert not Cache(tmp_path).entries()
    assert tokens_of(open_store(CORPORA, TOKENIZER, caching(tmp_path))) == expected()


def test_two_processes_that_build_at_once_get_the_same_store(tmp_path):
    processes = [started(BUILD, tmp_path) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    directories = {process.communicate()[0].strip() for process in processes}
    assert directories == {str(open_store(CORPORA, TOKENIZER, caching(tmp_path)).directory)}
    assert len(Cache(tmp_path).entries()) == 1
    assert tokens_of(open_store(CORPORA, TOKENIZER, caching(tmp_path))) == expected()


@pytest.mark.parametrize("order", ["as they are", "backwards", "repeated", "none"])
def test_pairs_are_read_in_the_order_asked_for_and_memory_goes_back_to_the_system(tmp_path, monkeypatch, order):
    """Parts of three pairs, and memory for none."""
    monkeypatch.setattr(store, "PART", 3)
    monkeypatch.setattr(store, "MOST", 0)
    opened = open_store(CORPORA, TOKENIZER, caching(tmp_path))
    count = len(opened.tokens.source)
    pairs = {
        "as they are": np.arange(count),
        "backwards": np.arange(count)[::-1],
        "repeated": np.array([1, 0, count - 1, 1, 1]),
        "none": np.zeros(0, np.int64),
    }[order]
    read = opened.read(pairs)
    for side, whole in zip(read, expected(), strict=True):
        assert side.lists() == [whole[pair] for pair in pairs.tolist()]
    assert (opened.sizes(pairs) == read.sizes(np.arange(len(pairs)))).all()


def test_progress_is_reported_while_a_store_is_built(tmp_path):
    reports: list[tuple[int, int]] = []
    for _ in range(2):  # the second time, nothing is built
        opened = open_store(CORPORA, TOKENIZER, caching(tmp_path), report=lambda *counts: reports.append(counts))
    pairs, tokens = map(sum, zip(*reports, strict=True))
    assert pairs == sum(len(corpus.pairs) for corpus in CORPORA)
    assert tokens == sum(len(side.values) for side in opened.tokens)
