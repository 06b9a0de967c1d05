"""Marks translations good, check or redo, by thresholds that `dragoman evaluate --calibrate` has learned for a run."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from data.errors import InputError
from dragoman.files import write_atomically, writing
from dragoman.translation.result import Translation

FILE = "calibration.json"
Mark = Literal["good", "check", "redo"]


def confidence(translation: Translation) -> float:
    """The mean probability of a token of a translation, from 0 to 1: exp(log-probability / tokens), with each </s>.

    It is a geometric mean, and does not depend on the length penalty. That of a blank line is 1.
    """
    tokens = translation.tokens + translation.parts
    return min(1.0, math.exp(translation.log_probability / tokens)) if tokens else 1.0


class Marks(NamedTuple):
    """The thresholds of a model: from `good` on a translation is good, below `redo` it should be done again.

    They hold for the parameters that they were learned with, and say what translations of such confidence were worth on
    the validation set.
    """

    good: float
    redo: float
    parameters_sha256: str

    def mark(self, translation: Translation, flags: Sequence[str] = ()) -> Mark:
        """The mark of a translation. One that the guard flags, or that is cut off, is never good."""
        sure = confidence(translation)
        if sure < self.redo:
            return "redo"
        return "check" if sure < self.good or flags or not translation.is_finished else "good"

    def save(self, run: Path) -> None:
        """Writes the file of a run."""
        with writing(run / FILE):
            write_atomically(run / FILE, (json.dumps(self._asdict(), indent=1) + "\n").encode())

    @classmethod
    def load(cls, run: Path, parameters_sha256: str) -> "Marks | None":
        """The thresholds of a run for a model; None if there are none, or those of another model.

        InputError if the file is damaged.
        """
        try:
            found = json.loads((run / FILE).read_text(encoding="utf-8"))
            marks = cls(float(found["good"]), float(found["redo"]), str(found["parameters_sha256"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{run / FILE}: cannot be used ({error}): delete it, or calibrate again") from None
        return marks if marks.parameters_sha256 == parameters_sha256 else None
