"""Packed and bucketed batches are compared in one run."""

import json

import pytest

from benchmarks import batching
from tests.support.captions import write_captions


@pytest.mark.slow
def test_packed_and_bucketed_batches_are_compared_in_alternation(tmp_path, capsys):
    write_captions(tmp_path)
    sizes = "--layers 1 --vocabulary 320 --row-length 16 --batch-tokens 128 --buckets 2 --updates 8"
    batching.main(["--source", str(tmp_path / "train.en"), "--target", str(tmp_path / "train.de"), *sizes.split()])
    packed, bucketed = json.loads(capsys.readouterr().out.rstrip("\n").rpartition("\n")[2])
    assert (packed["batching"], packed["shapes"]) == ("packed", 1)
    assert (bucketed["batching"], bucketed["shapes"] <= 2) == ("bucketed", True)
    assert 0 < packed["padding"] < 1
    assert 0 < bucketed["padding"] < 1
