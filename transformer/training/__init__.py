"""One update: the loss, the optimizer, the learning-rate schedules, and the step that combines them."""
