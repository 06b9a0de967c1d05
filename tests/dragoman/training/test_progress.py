"""Progress: a better score or a lower loss resets patience; each due step is validated once."""

from dragoman.training.progress import Progress
from transformer.config import TrainingConfig


def stale_after(scores: list[float], losses: list[float] | None = None, **training) -> tuple[Progress, list[int]]:
    """The progress after validations with these scores, and `stale` after each. Losses not given are equal."""
    progress, stale, settings = Progress(), [], TrainingConfig(**training)
    for score, loss in zip(scores, losses or [1.0] * len(scores), strict=True):
        found = {settings.metric: score, "loss": loss}
        progress = progress.after_update().after_validation(found, settings)
        stale.append(progress.stale)
    return progress, stale


def test_stale_counts_validations_since_the_best_score_in_the_direction_of_the_metric():
    progress, stale = stale_after([10.0, 12.0, 12.0, 11.0, 13.0])
    assert (progress.best, progress.best_step, stale) == (13.0, 5, [0, 0, 1, 2, 0])
    progress, stale = stale_after([90.0, 80.0, 85.0, 80.0, 70.0], metric="ter")
    assert (progress.best, progress.best_step, stale) == (70.0, 5, [0, 0, 1, 2, 0])


def test_patience_is_not_lost_while_the_loss_still_falls():
    """At first, BLEU is noise near 0, and the first value may be the highest for long."""
    progress, stale = stale_after([0.3, 0.1, 0.2, 0.0, 0.1, 0.2], [6.0, 5.0, 4.0, 4.5, 3.0, 3.0])
    assert stale == [0, 0, 0, 1, 0, 1]
    assert (progress.best, progress.best_step, progress.lowest_loss, progress.lowest_step) == (0.3, 1, 3.0, 5)


def test_only_a_better_score_makes_a_step_the_best():
    settings = TrainingConfig()
    first = Progress().after_update().after_validation({"bleu": 5.0, "loss": 3.0}, settings)
    second = first.after_update().after_validation({"bleu": 4.0, "loss": 2.0}, settings)
    assert (first.is_best, second.is_best, second.stale) == (True, False, 0)


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
    validated = Progress(step=4).after_validation({"bleu": 1.0, "loss": 1.0}, training)
    assert not validated.is_validation_due(training)
    assert not validated.after_update().is_validation_due(TrainingConfig(steps=9, validate_every=2))


def test_early_stopping_says_which_scores_stood_still_since_when_and_how_to_continue():
    progress, _ = stale_after([10.0, 12.0, 11.0, 11.0], [4.0, 3.5, 3.0, 3.1], patience=1)
    assert progress.why_ended(TrainingConfig(steps=9, patience=1)) == (
        "stopped early at step 4 of 9: no better BLEU than 12.00 (step 2) and no lower validation loss than 3.000 "
        "(step 3) in the last 1 validations (training.patience 1); to continue, resume with --training.patience 2, "
        "or 0 for no limit"
    )
    older = Progress(step=4, best=12.0, stale=1)
    assert "no better BLEU than 12.00 and no" in older.why_ended(TrainingConfig(steps=9, patience=1))
    assert progress.why_ended(TrainingConfig(steps=4, patience=1)) == ""
    assert progress.why_ended(TrainingConfig(steps=9)) == ""


def test_scores_of_another_validation_set_are_forgotten():
    progress, _ = stale_after([10.0, 9.0, 8.0])
    assert progress.without_scores() == Progress(step=3)
