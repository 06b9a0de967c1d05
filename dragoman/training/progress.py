"""The progress of a run, and whether it is done or a validation is due."""

from typing import NamedTuple

from dragoman.evaluation.metrics import METRICS
from transformer.config import TrainingConfig


class Progress(NamedTuple):
    """The numbers that a run resumes from, in addition to its arrays and its position in the data."""

    step: int = 0
    best: float | None = None  # the best validation score so far, by training.metric
    stale: int = 0  # validations since the best one
    is_validated: bool = False  # whether this step has been validated

    def after_update(self) -> "Progress":
        """The progress after one more update."""
        return self._replace(step=self.step + 1, is_validated=False)

    def after_validation(self, score: float, training: TrainingConfig) -> "Progress":
        """The progress after validating this step. `stale` is 0 if the score is better than every earlier one."""
        if self.best is None or METRICS[training.metric].is_better(score, self.best):
            return self._replace(best=score, stale=0, is_validated=True)
        return self._replace(stale=self.stale + 1, is_validated=True)

    def is_done(self, training: TrainingConfig) -> bool:
        """True after the last step, and when validation has stopped improving."""
        return self.step >= training.steps or 0 < training.patience <= self.stale

    def is_validation_due(self, training: TrainingConfig) -> bool:
        """True at every `validate_every`-th step and at the end, until the step has been validated."""
        is_due = self.step % training.validate_every == 0 or self.is_done(training)
        return self.step > 0 and is_due and not self.is_validated
