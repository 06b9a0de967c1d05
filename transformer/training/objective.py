"""The objectives that training can minimise. To add one, write a function with this signature in a new file, and add
its line here.

Each sum in `extra`, divided by the target tokens, is logged under its name; nothing else is needed for that.
"""

from collections.abc import Callable

from data.batch import Batch
from transformer.config import TrainingConfig
from transformer.model import Assembly
from transformer.model.dropout import DropoutKey
from transformer.training.both_sides import both_sides
from transformer.training.cross_entropy import cross_entropy
from transformer.training.loss import Sums
from transformer.training.r_drop import r_drop

Objective = Callable[[Assembly, Batch, TrainingConfig, DropoutKey | None], Sums]

OBJECTIVES: dict[str, Objective] = {"cross_entropy": cross_entropy, "both_sides": both_sides, "r_drop": r_drop}
