"""The benchmarks run, and print a table and one JSON line; what they measure is for a quiet machine."""

import json
import math
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import decode, loss_memory, scaling
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
    assert f"{run}: 7 lines (1 left out: blank or too long), batches of 4, 2 rounds" in shown
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
