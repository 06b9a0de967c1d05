"""What a question is asked of: a task with a model, an update, training text, and held-out text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from data.batch import Batch
from transformer.config import ModelConfig, TrainingConfig


class HeldOut(NamedTuple):
    """A batch that no training sees. `groups` numbers the group in which each target token is scored; -1: in none."""

    batch: Batch
    groups: Int[np.ndarray, "B T"]


Features = Callable[[Batch], dict[str, Int[np.ndarray, "B T"]]]
"""What the neurons at a target token might respond to: for each feature, its number at each token."""

Kinds = Callable[[HeldOut], dict[str, Bool[np.ndarray, "B T both"]]]
"""What the heads of a decoder-only model might attend to: for each kind, its keys for each scored target token."""


def usual_features(batch: Batch) -> dict[str, Int[np.ndarray, "B T"]]:
    """The token that is read, the one before it, the one to be predicted, and the position in the sentence."""
    inputs = np.asarray(batch.target_inputs)
    return {
        "token read": inputs,
        "token before it": np.where(np.asarray(batch.target_positions) > 0, np.roll(inputs, 1, axis=1), -1),
        "token to predict": np.asarray(batch.target_labels),
        "position": np.asarray(batch.target_positions),
    }


@dataclass(frozen=True)
class Task:
    """A task as experiments see it: they change the model, and all else stays the same.

    `train` yields the batches of a seed, the same ones whatever the model. So models of one seed can be compared in
    pairs. Weights are drawn from the seed too.
    """

    name: str
    model: ModelConfig
    training: TrainingConfig
    vocabulary: int
    train: Callable[[int], Sequence[Batch]]
    held_out: Sequence[HeldOut]
    groups: tuple[str, ...]
    about: str
    features: Features = usual_features
    kinds: Kinds | None = None

    def with_model(self, **changes: object) -> "Task":
        """The task with another model."""
        return replace(self, model=ModelConfig(**self.model.model_dump() | changes))
