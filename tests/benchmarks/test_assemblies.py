"""Runs of different assemblies are timed beside each other, and their caches are measured."""

import json

import pytest

from benchmarks.assemblies import cache_bytes, main
from data.errors import InputError
from tests.support.tiny_run import CONFIG, make_run
from transformer.config import ModelConfig


def config(**changes):
    return CONFIG.model_copy(update={"model": CONFIG.model.model_copy(update=changes)})


@pytest.mark.slow
def test_runs_are_timed_beside_each_other(tmp_path, capsys):
    first = make_run(tmp_path / "first", ends=2.0)
    second = make_run(tmp_path / "second", config(assembly="decoder_only"), ends=2.0)
    source = tmp_path / "source.txt"
    source.write_text("a b c\nd e\n", encoding="utf-8")
    main([f"one={first}", f"two={second}", "--source", str(source), "--updates", "3", "--rounds", "1"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    one, two = json.loads(last)
    assert (one["system"], one["assembly"]) == ("one", "encoder_decoder")
    assert (two["system"], two["assembly"]) == ("two", "decoder_only")
    assert one["parameters"] > two["parameters"] > 0
    for found, line in zip((one, two), shown[-2:], strict=True):
        assert f" {found['training_tokens_per_second']:,.0f} " in line
        assert f" {found['sentences_per_second']:,.1f} " in line


@pytest.mark.parametrize("assembly", ["encoder_decoder", "decoder_only"])
def test_the_cache_holds_keys_and_values_of_every_layer(assembly):
    model = ModelConfig(width=32, heads=2, decoder_layers=3, encoder_layers=1, precision="float32", assembly=assembly)
    found = cache_bytes(CONFIG.model_copy(update={"model": model}), 100)
    keys_values = 3 * 2 * 32 * 4  # layers, keys and values, features, bytes
    assert found.target == keys_values + 4  # and the hypothesis that wrote the token
    assert keys_values <= found.source <= keys_values + 4  # and the sentence that the token is of


def test_a_system_without_a_name_is_an_error():
    with pytest.raises(InputError, match="expected NAME=RUN"):
        main(["runs/mine", "--source", "test.en"])
