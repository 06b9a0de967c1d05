"""Compiling is measured for each form of an update, and for a GPU that a file describes only where JAX can."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import compilation
from data.errors import InputError


@pytest.mark.slow
def test_each_form_of_an_update_is_compiled(monkeypatch, capsys):
    tiny = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "optimizer": "muon", "tokens": 512}
    monkeypatch.setitem(compilation.SIZES, "tiny", tiny)
    compilation.main(["--size", "tiny", "--form", "loop", "loop-stack", "--vocabulary", "300", "--updates", "1"])
    *shown, last = capsys.readouterr().out.strip().split("\n")
    alone, stacked = json.loads(last)
    assert [line.split()[:3] for line in shown[1:]] == [["tiny", "loop", "xla"], ["tiny", "loop-stack", "xla"]]
    assert 0 < alone["tokens"] == stacked["tokens"] <= 512
    assert stacked["lines"] < alone["lines"]  # one product of a stack for several of single matrices


def test_a_gpu_that_cannot_be_compiled_for_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"--gpu .*missing: cannot compile for it \(.*the extra cuda13"):
        compilation.use_described_gpu(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="--updates needs the GPU itself"):
        compilation.main(["--gpu", "any", "--updates", "3"])


def test_the_gigabytes_of_a_program_are_those_it_reads_and_writes():
    x = jnp.ones(1000)
    assert compilation.gigabytes_of_passes(jax.jit(lambda x: x + 1).lower(x).compile()) == 8000 / 1e9
