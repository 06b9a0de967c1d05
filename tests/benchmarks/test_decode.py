"""Decoding is timed beside its peers."""

import json
import sys

import pytest

from benchmarks import decode
from data.errors import InputError
from data.sources import load_corpora
from tests.support.tiny_run import CONFIG, make_run

# Imitates marian_decode_peer.py, because torch is not installed here.
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
