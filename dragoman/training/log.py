"""Reports of training: metrics.jsonl, TensorBoard, a progress bar or lines instead, and lines on standard output."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from tensorboardX import SummaryWriter
from tqdm import tqdm

from dragoman.files import writing
from dragoman.messages import is_watched, say, show_seconds, tell
from dragoman.runs.run import Run
from dragoman.training.progress import Progress
from dragoman.training.validation import show_scores


class Log(NamedTuple):
    """The reports of a run. In a job, only process 0 writes them."""

    run: Run
    writer: SummaryWriter
    bar: tqdm
    steps: int

    def training(self, record: dict[str, Any], *, seconds_per_update: float) -> None:
        """Writes the meter's record of the updates since the last one.

        At a terminal, it appears beside the progress bar, and elsewhere as a line.
        """
        self.append(record)
        for name, value in record.items():
            if name not in ("step", "time"):
                self.writer.add_scalar(name, value, record["step"])
        share = f" ({record['utilisation']:.0%} of peak)" if "utilisation" in record else ""
        text = (
            f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s, "
            f"{record['device_teraflops']:.3g} TFLOP/s{share}, padding {record['padding']:.0%}, "
            f"waiting for data {record['waiting_for_data']:.0%}"
        )
        self.bar.set_postfix_str(text)
        if not is_watched():
            left = show_seconds((self.steps - record["step"]) * seconds_per_update)
            self.tell(f"step {record['step']} of {self.steps}: {text}, {left} left")

    @contextlib.contextmanager
    def naming(self, work: str) -> Iterator[None]:
        """A context that says what training is busy with. Its time does not count for the time left."""
        if is_watched():
            self.bar.set_description_str(work)
        else:
            self.tell(work)
        yield
        self.bar.set_description_str("train")
        self.bar.unpause()

    def tell(self, text: str) -> None:
        """Prints a line on standard error."""
        if jax.process_index() == 0:
            tell(text)

    def validation(self, progress: Progress, scores: dict[str, float]) -> None:
        """Writes the scores of the step that has just been validated."""
        self.append({"step": progress.step, "time": time.time(), **scores})
        for name, value in scores.items():
            self.writer.add_scalar(f"validation/{name}", value, progress.step)
        marker = "  (best)" if progress.is_best else ""
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
    is_hidden = not (is_first and is_watched())
    bar = tqdm(desc="train", total=steps, initial=step, unit="step", dynamic_ncols=True, disable=is_hidden)
    curves = run.path / "tensorboard"
    with writing(curves):
        writer = SummaryWriter(str(curves), purge_step=step + 1, write_to_disk=is_first)
    try:
        with bar:
            yield Log(run, writer, bar, steps)
    finally:
        with writing(curves):
            writer.close()
