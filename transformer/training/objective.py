"""What training minimises. To add an objective: a function of this signature in a file of its own, and its line here.

The sums under `extra` need nothing else: each, divided by the target tokens, is in every line of the log by its name.
"""

from collections.abc import Callable

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Assembly
from transformer.model.dropout import DropoutKey
from transformer.training.cross_entropy import cross_entropy
from transformer.training.loss import Sums

Objective = Callable[[Assembly, Batch, TrainingConfig, DropoutKey | None], Sums]

OBJECTIVES: dict[str, Objective] = {"cross_entropy": cross_entropy}
