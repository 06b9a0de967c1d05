"""The memory of the chunked loss beside that of the plain one."""

import json

import pytest

from benchmarks import loss_memory


def test_the_chunked_loss_takes_less_memory_than_the_plain_one_for_the_same_value(capsys):
    data = ["--data.vocabulary_size", "4000", "--data.row_length", "64", "--data.maximum_tokens", "64"]
    layers = ["--model.encoder_layers", "1", "--model.decoder_layers", "1", "--model.precision", "float32"]
    sizes = ["--model.width", "32", "--model.heads", "2", "--model.feed_forward", "32"]
    loss_memory.main([*data, *layers, *sizes, "--training.batch_tokens", "2048"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    plain, chunked = json.loads(last)["results"]
    assert chunked["value"] == pytest.approx(plain["value"], rel=1e-5)
    logits = 4000 * 2048 * 4
    assert plain["temporary_and_results"] > 2 * logits
    assert chunked["temporary_and_results"] < plain["temporary_and_results"] / 2
    assert chunked["peak_resident"] < plain["peak_resident"]
    assert shown[-1].startswith("share")
