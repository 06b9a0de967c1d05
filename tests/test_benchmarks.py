"""The benchmarks run, and print a table and one JSON line; what they measure is for a quiet machine."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import decode, loss_memory, scaling, train
from data.config import DataConfig
from data.errors import InputError
from data.sources import load_corpora
from tests.tiny_run import CONFIG, make_run
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract

ROOT = Path(__file__).parent.parent

# What marian_decode_peer.py is told, and what it answers: torch is not installed here.
PEER = """import json, sys
task = json.load(sys.stdin)
assert [len(batch) for batch in task["batches"]] == [4, 3], task["batches"]
sizes = [max(map(len, batch)) for batch in task["batches"]]
assert sizes == sorted(sizes) and len(task["lengths"]) == 2 and min(task["lengths"]) > 0
assert (task["width"], task["encoder_layers"], task["decoder_layers"]) == (32, 1, 2)
print(json.dumps({"seconds": 0.5 * task["beam"]}))
"""


# What the peers of benchmarks/train.py answer: they are not installed here.
TRAIN_PEER = """import json, sys
precision = sys.argv[sys.argv.index("--precision") + 1]
about = {"system": sys.argv[0].rpartition("/")[2], "precision": precision, "parameters": 7}
print("the last line counts")
print(json.dumps({**about, "rates": [10.0, 30.0, 20.0]}))
"""


def write_captions(directory: Path) -> None:
    """Files as Multi30k names them, of a few short sentences."""
    words = {"one": "ein", "two": "zwei", "red": "rot", "dog": "hund", "runs": "rennt", "house": "haus"}
    for split, count in (("train", 200), ("val", 6), ("test_2016_flickr", 6)):
        sentences = [[list(words)[(n * k + k) % 6] for k in range(1, 4 + n % 4)] for n in range(count)]
        (directory / f"{split}.en").write_text("".join(" ".join(line) + "\n" for line in sentences))
        translated = [" ".join(words[word] for word in line) for line in sentences]
        (directory / f"{split}.de").write_text("".join(line + "\n" for line in translated))


TINY = "--layers 1 --width 16 --heads 2 --feed-forward 32 --vocabulary 320 --batch-tokens 128 --steps 3"


@pytest.mark.slow
def test_training_is_timed_beside_its_peers_and_traced(tmp_path, capsys, monkeypatch):
    write_captions(tmp_path)
    for name, knob in (("marian", "PEER"), ("joey", "JOEY")):
        (tmp_path / name).write_text(TRAIN_PEER)
        monkeypatch.setattr(train, knob, tmp_path / name)
    texts = ["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de")]
    peers = ["--peer-python", sys.executable, "--peer-precision", "float32", "bfloat16"]
    others = ["--joeynmt-python", sys.executable, "--precision", "float32", "--profile", str(tmp_path / "trace")]
    train.main([*texts, *TINY.split(), "--batching", "packed", *peers, *others])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    ours, *theirs = json.loads(last)
    assert [(one["system"], one["precision"]) for one in theirs] == [
        ("marian", "float32"), ("marian", "bfloat16"), ("joey", "float32")
    ]  # fmt: skip
    assert [one["tokens_per_second"] for one in theirs] == [20, 20, 20]
    assert ours["tokens_per_second"] > 0
    assert ours["device_teraflops"] > 0
    assert ours["utilisation"] is None
    assert any(line.startswith("Dragoman") and f"{ours['tokens_per_second']:,.0f}" in line for line in shown)
    assert list((tmp_path / "trace" / "float32").rglob("*perfetto_trace*"))


@pytest.mark.slow
def test_the_call_for_one_gpu_runs_every_part_and_ends_with_a_table(tmp_path):
    write_captions(tmp_path)
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out", "--python", sys.executable, "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "out" / "table.txt").read_text()
    assert done.stdout.endswith(table)
    for pattern in (
        r"train-base +Dragoman, float32 +[\d,]+ tokens/s, \S+ TFLOP/s",
        r"train-big +Dragoman, float32 +[\d,]+ tokens/s, \S+ TFLOP/s",
        r"multi30k +Dragoman +\d+\.\d\d lower-cased BLEU, \d+\.\d\d cased, in \d+\.\d minutes",
        r"decode +Dragoman, float32, beam 4 +[\d,]+ tokens/s",
    ):
        assert re.search(f"^{pattern}$", table, re.MULTILINE), (pattern, table)


@pytest.mark.parametrize(
    ("present", "message"),
    [
        (["out"], "error: {0}/out exists: name a new directory\n"),
        ([], "error: {0} holds neither train.en nor train.en.gz\n"),
    ],
)
def test_the_call_for_one_gpu_refuses_what_it_cannot_use_in_one_line(tmp_path, present, message):
    for name in present:
        (tmp_path / name).mkdir()
    command = [ROOT / "benchmarks" / "gpu.sh", tmp_path, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, message.format(tmp_path))
    assert (tmp_path / "out").exists() == bool(present)


@pytest.mark.slow
def test_decoding_is_timed_beside_its_peers(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ctranslate2")
    run = make_run(tmp_path / "run")
    lines = [pair.source for pair in load_corpora(CONFIG.data, "test")[0].pairs if len(pair.source) < 13][:7]
    (tmp_path / "source").write_text("\n".join(["", *lines, "not read"]))
    (tmp_path / "peer.py").write_text(PEER)
    monkeypatch.setattr(decode, "PEER", tmp_path / "peer.py")
    arguments = ["--lines", "8", "--repeats", "2", "--batch-size", "4", "--precision", "float32"]
    decode.main([str(run), str(tmp_path / "source"), *arguments, "--peer-python", sys.executable])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    assert f"{run}: 7 lines (1 left out: blank or too long), peers in batches of 4, 2 rounds" in shown
    found = json.loads(last)
    systems = ["Dragoman", "CTranslate2", "CTranslate2", "transformers MarianMTModel"]
    assert [(one["system"], one["beam"]) for one in found] == [(name, beam) for beam in (5, 1) for name in systems]
    for one in found:
        assert len(one["seconds"]) == 2
        assert one["tokens_per_second"] / one["sentences_per_second"] == pytest.approx(one["tokens"] / 7)
        assert any(line.startswith(one["system"]) and f"{one['tokens_per_second']:,.0f}" in line for line in shown)
    assert found[3]["sentences_per_second"] == pytest.approx(7 / 2.5)
    assert sum("first time" in line for line in shown) == 2


@pytest.mark.parametrize("option", ["--lines", "--repeats", "--batch-size"])
def test_counts_below_one_are_refused(option):
    with pytest.raises(InputError, match=f"^{option} is 0: expected 1 or more$"):
        decode.main(["run", "source", option, "0"])


def test_the_chunked_loss_takes_less_memory_than_the_plain_one_for_the_same_value(capsys):
    sizes = {"vocabulary": 4000, "tokens": 2048, "length": 64, "layers": 1, "width": 32, "heads": 2, "feed-forward": 32}
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    loss_memory.main([*options, "--precision", "float32"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    plain, chunked = json.loads(last)["results"]
    assert chunked["value"] == pytest.approx(plain["value"], rel=1e-5)
    logits = 4000 * 2048 * 4
    assert plain["temporary_and_results"] > 2 * logits
    assert chunked["temporary_and_results"] < plain["temporary_and_results"] / 2
    assert chunked["peak_resident"] < plain["peak_resident"]
    assert shown[-1].startswith("share")


SMALL = Config(
    data=DataConfig(vocabulary_size=100, row_length=8, maximum_tokens=8),
    model=ModelConfig(encoder_layers=1, decoder_layers=1, width=4, heads=2, feed_forward=6),
)


def test_operations_and_bytes_of_an_update_are_those_counted_by_hand():
    """Two tokens on each of two devices; one multiply-add is two operations, and backward twice forward."""
    case = scaling.Case(scaling.H100, data=2, fsdp=1, tokens=4)
    attention = 4 * 4 * 4 + 2 * 8 * 4
    layers = (attention + 2 * 4 * 6) + (2 * attention + 2 * 4 * 6)
    assert scaling.step_flops(SMALL, case) == 2 * 3 * 4 * (layers + 4 * 100)
    assert scaling.ring_all_reduce(100, 4) == 150
    assert scaling.ring_gather(100, 4) == 75
    parameters = scaling.parameter_sizes(SMALL)
    assert parameters["target_embedding/table"] == 400
    assert scaling.sent_bytes(parameters, case) == 4 * sum(parameters.values())
    assert scaling.state_bytes(10) == 160


def test_what_a_device_holds_is_what_the_mesh_gives_it():
    config = SMALL.model_copy(update={"devices": DevicesConfig(data=1, fsdp=2)})
    graph, shapes = abstract(config.model, 100, 100)
    template = STRATEGIES["mesh"](graph, config).template(shapes).parameters
    held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(template))
    assert scaling.held_values(scaling.parameter_sizes(config), 2) == held


def test_the_page_on_scaling_shows_what_the_script_prints(capsys):
    scaling.main([])
    *shown, _ = capsys.readouterr().out.strip().split("\n")
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    assert "\n".join(f"    {line}".rstrip() for line in shown) in page
