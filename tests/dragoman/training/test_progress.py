"""Progress: a better score, in the metric's direction, resets patience; each due step is validated once."""

from dragoman.training.progress import Progress
from transformer.config import TrainingConfig


def stale_after(scores: list[float], **training) -> tuple[float | None, list[int]]:
    progress, stale = Progress(), []
    for score in scores:
        progress = progress.after_update().after_validation(score, TrainingConfig(**training))
        stale.append(progress.stale)
    return progress.best, stale


def test_stale_counts_validations_since_the_best_score_in_the_direction_of_the_metric():
    assert stale_after([10.0, 12.0, 12.0, 11.0, 13.0]) == (13.0, [0, 0, 1, 2, 0])
    assert stale_after([90.0, 80.0, 85.0, 80.0, 70.0], metric="ter") == (70.0, [0, 0, 1, 2, 0])


def test_a_run_is_done_after_its_steps_or_when_its_patience_ends():
    assert Progress(step=5).is_done(TrainingConfig(steps=5))
    assert not Progress(step=4, stale=9).is_done(TrainingConfig(steps=5))
    assert [Progress(step=4, stale=n).is_done(TrainingConfig(steps=5, patience=2)) for n in range(4)] == [
        *(False, False, True, True)
    ]


def test_a_step_is_validated_when_it_is_due_or_the_last_and_not_twice():
    training = TrainingConfig(steps=5, validate_every=2)
    due = [step for step in range(6) if Progress(step=step).is_validation_due(training)]
    assert due == [2, 4, 5]
    validated = Progress(step=4).after_validation(1.0, training)
    assert not validated.is_validation_due(training)
    assert not validated.after_update().is_validation_due(TrainingConfig(steps=9, validate_every=2))
