"""The progress of a run, and whether it is done or a validation is due."""

from typing import Any, NamedTuple

from dragoman.evaluation.metrics import METRICS
from transformer.config import TrainingConfig


class Progress(NamedTuple):
    """The numbers that a run resumes from, in addition to its arrays and its position in the data."""

    step: int = 0
    best: float | None = None  # the best validation score so far, by training.metric
    stale: int = 0  # validations since the last one with a better score or a lower loss
    is_validated: bool = False  # whether this step has been validated
    best_step: int = 0
    lowest_loss: float | None = None  # the lowest validation loss so far
    lowest_step: int = 0

    def after_update(self) -> "Progress":
        """The progress after one more update."""
        return self._replace(step=self.step + 1, is_validated=False)

    def after_validation(self, scores: dict[str, float], training: TrainingConfig) -> "Progress":
        """The progress after validating this step.

        `stale` is 0 if the score is better than every earlier one, or the loss lower: at first, BLEU is noise near 0.
        """
        score, loss = scores[training.metric], scores["loss"]
        is_better = self.best is None or METRICS[training.metric].is_better(score, self.best)
        is_lower = self.lowest_loss is None or loss < self.lowest_loss
        changes: dict[str, Any] = {}
        if is_better:
            changes |= {"best": score, "best_step": self.step}
        if is_lower:
            changes |= {"lowest_loss": loss, "lowest_step": self.step}
        return self._replace(**changes, stale=0 if changes else self.stale + 1, is_validated=True)

    @property
    def is_best(self) -> bool:
        """Whether this step has the best validation score so far."""
        return self.is_validated and self.best_step == self.step

    def without_scores(self) -> "Progress":
        """The progress when validation changes: earlier scores are not comparable with later ones."""
        return Progress(self.step)

    def is_done(self, training: TrainingConfig) -> bool:
        """True after the last step, and when validation has stopped improving."""
        return self.step >= training.steps or self.is_out_of_patience(training)

    def is_out_of_patience(self, training: TrainingConfig) -> bool:
        """True when validation has stopped improving."""
        return 0 < training.patience <= self.stale

    def is_validation_due(self, training: TrainingConfig) -> bool:
        """True at every `validate_every`-th step and at the end, until the step has been validated."""
        is_due = self.step % training.validate_every == 0 or self.is_done(training)
        return self.step > 0 and is_due and not self.is_validated

    def why_ended(self, training: TrainingConfig) -> str:
        """A line on why training ends before its last step and how to continue; empty if it does not end early."""
        if self.step >= training.steps or not self.is_out_of_patience(training):
            return ""
        best = f"{METRICS[training.metric].label} than {self.best or 0.0:.2f}{at(self.best_step)}"
        loss = f"validation loss than {self.lowest_loss or 0.0:.3f}{at(self.lowest_step)}"
        return (
            f"stopped early at step {self.step} of {training.steps}: no better {best} and no lower {loss} in the last "
            f"{self.stale} validations (training.patience {training.patience}); to continue, resume with "
            f"--training.patience {2 * self.stale}, or 0 for no limit"
        )


def at(step: int) -> str:
    """Where a score was found; empty if that is not known, in a run of an earlier version."""
    return f" (step {step})" if step else ""
