"""The text side of training is timed alone."""

import json

import pytest

from benchmarks import pipeline
from tests.support.captions import write_captions


@pytest.mark.parametrize("options", [["--batching", "bucketed"], ["--sampling", "0.1", "--workers", "1"]])
def test_the_text_side_is_timed(tmp_path, capsys, options):
    write_captions(tmp_path)
    files = ["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de")]
    sizes = ["--vocabulary", "300", "--row-length", "32", "--batch-tokens", "256", "--seconds", "0.3"]
    pipeline.main([*files, *sizes, "--cache", str(tmp_path / "cache"), *options])
    found = json.loads(capsys.readouterr().out.strip().split("\n")[-1])
    assert found["pairs"] == 200
    assert found["target_tokens_per_second"] > 0
    assert found["tokens_per_processor_second"] > 0
    assert found["first_batch_seconds"] > 0
    assert found["resident_mb"] > 20
    assert 0.3 < found["density"] <= 1
