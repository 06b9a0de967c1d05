"""Training that runs out of memory, and updates as large as fit."""

import jax

from dragoman.commands import train as train_command
from dragoman.runs.run import Run
from tests.support.tiny_training import steps_of
from transformer.devices import STRATEGIES
from transformer.devices.mesh import MeshStrategy


class SmallDevice(MeshStrategy):
    """At step 5, the device runs out of memory for a whole update."""

    def __init__(self, graph, config):
        super().__init__(graph, config)
        self.is_whole = config.training.accumulation == 1

    def train_step(self, state, batch, key):
        if self.is_whole and int(state.step) == 5:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return super().train_step(state, batch, key)


def test_a_run_out_of_memory_resumes_from_its_last_checkpoint_in_more_parts(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "mesh", SmallDevice)
    options = ["--training.steps", "6", "--devices.data", "1"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), *options]) == 0
    run, output = Run(tmp_path / "run"), capsys.readouterr().out
    assert "out of memory on cpu: continuing from the last checkpoint with training.accumulation 2" in output
    assert "resuming at step 4" in output
    assert run.load_config().training.accumulation == 2
    assert (steps_of(run, "learning_rate"), steps_of(run, "bleu")) == ([3, 6], [6])


AUTO = 'training.batch_tokens = "auto"'


def test_auto_is_reported_with_its_limit_and_becomes_a_number_in_the_config(recipe, tmp_path, capsys):
    """600 tokens allow 18 rows of 32. Eight devices take 16 of them, so that no row is empty."""
    options = ["--training.batch_tokens", "auto", "--training.batch_tokens_limit", "600"]
    assert train_command.main([str(recipe), "--run", str(tmp_path / "run"), "--training.steps", "1", *options]) == 0
    output = capsys.readouterr().out
    assert f"{AUTO}: 512 tokens an update (" in output
    assert " of cpu), limited by training.batch_tokens_limit\n" in output
    assert "are padded with empty rows" not in output
    assert Run(tmp_path / "run").load_config().training.batch_tokens == 512


def test_a_resumed_run_keeps_the_number_that_auto_chose_and_reports_padding(recipe, tmp_path, capsys):
    """Nine rows are padded to sixteen. Now auto would find another number."""
    command, run = [str(recipe), "--run", str(tmp_path / "run"), "--training.steps"], Run(tmp_path / "run")
    assert train_command.main([*command, "1", "--training.batch_tokens", "288"]) == 0
    capsys.readouterr()
    assert train_command.main([*command, "2", "--training.batch_tokens", "auto"]) == 0
    output = capsys.readouterr().out
    assert AUTO not in output
    assert "batches are padded with empty rows to a multiple of devices 8 x training.accumulation 1, " in output
    assert "at most 44% of a batch" in output
    assert run.load_config().training.batch_tokens == 288
