"""Training is timed beside its peers, and traced."""

import json
import re
import sys

import pytest

from benchmarks import train
from benchmarks.trace import PARTS
from data.errors import InputError
from tests.support.captions import write_captions

# Imitates the peers of benchmarks/train.py, which are not installed here.
TRAIN_PEER = """import json, sys
precision = sys.argv[sys.argv.index("--precision") + 1]
system = sys.argv[0].rpartition("/")[2] + (", compiled" if "--compiled" in sys.argv else "")
about = {"system": system, "precision": precision, "parameters": 7}
print("the last line counts")
print(json.dumps({**about, "tokens": [10, 60, 80], "seconds": [1.0, 2.0, 4.0]}))
"""


TINY = "--layers 1 --width 16 --heads 2 --feed-forward 32 --vocabulary 320 --batch-tokens 128 --steps 3"


@pytest.mark.slow
def test_training_is_timed_beside_its_peers_and_traced(tmp_path, capsys, monkeypatch):
    write_captions(tmp_path)
    for name, knob in (("marian", "PEER"), ("joey", "JOEY")):
        (tmp_path / name).write_text(TRAIN_PEER)
        monkeypatch.setattr(train, knob, tmp_path / name)
    texts = ["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de")]
    peers = ["--peer-python", sys.executable, "--peer-precision", "float32", "--peer-compiled"]
    others = ["--joeynmt-python", sys.executable, "--precision", "float32", "--profile", str(tmp_path / "trace")]
    train.main([*texts, *TINY.split(), "--batching", "packed", *peers, *others])
    captured = capsys.readouterr()
    *shown, last = captured.out.strip().split("\n")
    ours, *theirs = json.loads(last)
    assert [(one["system"], one["precision"]) for one in theirs] == [
        ("marian", "float32"), ("marian, compiled", "float32"), ("joey", "float32")
    ]  # fmt: skip
    assert [one["tokens_per_second"] for one in theirs] == [20, 20, 20]
    assert [one["mean_tokens_per_second"] for one in theirs] == [150 / 7] * 3
    assert ours["tokens_per_second"] > 0
    assert ours["device_teraflops"] > 0
    assert ours["utilisation"] is None
    assert any(line.startswith("Dragoman") and f"{ours['tokens_per_second']:,.0f}" in line for line in shown)
    ratio = ours["tokens_per_second"] / 20
    assert shown[-1] == f"Dragoman, float32: {ratio:.2f} times the tokens/s of the fastest peer, marian, float32"
    assert list((tmp_path / "trace" / "float32").rglob("*perfetto_trace*"))
    table = captured.err.partition("of operations in an update, of which\n")[2]
    parts, _, longest = table.partition("longest of an update\n")
    found = {line.split()[0] for line in parts.strip().split("\n")[:-1]}
    assert {"optimizer", "loss", "attention", "projection", "norm", "dropout"} <= found <= {*PARTS, "other"}
    assert sum(bool(re.match(r" +\d+\.\d\d +\d+  \w+ ", line)) for line in longest.split("\n")) == 10


def test_sizes_have_a_name_and_each_can_be_changed():
    files = ["--source", "a", "--target", "b"]
    options = train.parse([*files, "--size", "base", "--heads", "4"])
    assert (options.layers, options.width, options.feed_forward, options.vocabulary) == (6, 512, 2048, 8000)
    assert options.heads == 4
    assert train.parse(files).width == train.SIZES["small"]["width"]


def test_one_update_is_too_few_to_tell_how_updates_differ():
    with pytest.raises(InputError, match=r"^--steps is 1: expected 2 or more, to measure how much updates vary$"):
        train.main(["--source", "a", "--target", "b", "--steps", "1"])
