"""Reports of training: metrics.jsonl, TensorBoard, a progress bar, and lines on standard output."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from tensorboardX import SummaryWriter
from tqdm import tqdm

from dragoman.messages import say
from dragoman.runs.run import Run
from dragoman.training.progress import Progress
from dragoman.training.validation import show_scores


class Log(NamedTuple):
    """The reports of a run. In a job, only process 0 writes them."""

    run: Run
    writer: SummaryWriter
    bar: tqdm

    def training(self, record: dict[str, Any]) -> None:
        """Writes the meter's record of the updates since the last one."""
        self.append(record)
        for name, value in record.items():
            if name not in ("step", "time"):
                self.writer.add_scalar(name, value, record["step"])
        share = f" ({record['utilisation']:.0%} of peak)" if "utilisation" in record else ""
        self.bar.set_postfix_str(
            f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s, "
            f"{record['device_teraflops']:.3g} TFLOP/s{share}, padding {record['padding']:.0%}"
        )

    def validation(self, progress: Progress, scores: dict[str, float]) -> None:
        """Writes the scores of the step that has just been validated."""
        self.append({"step": progress.step, "time": time.time(), **scores})
        for name, value in scores.items():
            self.writer.add_scalar(f"validation/{name}", value, progress.step)
        marker = "" if progress.stale else "  (best)"
        say(f"step {progress.step}: validation loss {scores['loss']:.3f}, {show_scores(scores)}{marker}")
        self.bar.unpause()

    def append(self, record: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        if jax.process_index() == 0:
            self.run.append_metrics(record)


@contextlib.contextmanager
def open_log(run: Run, *, step: int, steps: int) -> Iterator[Log]:
    """The log of a run that continues from a step. TensorBoard records of later steps are dropped."""
    is_first = jax.process_index() == 0
    bar = tqdm(desc="train", total=steps, initial=step, unit="step", dynamic_ncols=True, disable=not is_first)
    with bar, SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1, write_to_disk=is_first) as writer:
        yield Log(run, writer, bar)
