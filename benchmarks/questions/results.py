"""What an experiment found: tables of numbers measured with several seeds, as Markdown and as JSON."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import jax

from dragoman.evaluation.significance import interval_of_seeds


class Measured(NamedTuple):
    """A number measured once with each seed. Its interval is 95% of Student's t for the mean over seeds."""

    values: list[float]
    digits: int = 3

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval; None for one seed."""
        found = interval_of_seeds(self.values)
        return None if found is None else (found.low, found.high)

    def minus(self, other: "Measured") -> "Measured":
        """The difference, seed by seed: seeds share their batches, so that this is a paired comparison."""
        return Measured([a - b for a, b in zip(self.values, other.values, strict=True)], self.digits)

    def __str__(self) -> str:
        text = f"{self.mean:.{self.digits}f}"
        return text if self.interval is None else f"{text} ± {self.interval[1] - self.mean:.{self.digits}f}"


class Table(NamedTuple):
    """A table. A cell is text, or a number of each seed."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Measured]]

    def markdown(self) -> str:
        """The table as in a document, without its title."""
        lines = [self.columns, ["---"] * len(self.columns), *([str(cell) for cell in row] for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass
class Findings:
    """Everything that a question's experiments found on one task."""

    question: str
    task: str
    seeds: Sequence[int]
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)  # SVG by name

    def numbers(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "question": self.question,
            "task": self.task,
            "seeds": list(self.seeds),
            "device": jax.devices()[0].device_kind,
            "machine": platform.processor() or platform.machine(),
            "jax": jax.__version__,
            "tables": [
                {"title": one.title, "columns": list(one.columns), "rows": [list(map(plain, row)) for row in one.rows]}
                for one in self.tables
            ],
        }

    def markdown(self) -> str:
        """The tables under their titles."""
        parts = [f"## {table.title}\n\n{table.markdown()}" for table in self.tables]
        return "\n".join([f"# {self.question}\n\n{self.task}, seeds {list(self.seeds)}\n", *parts])

    def save(self, directory: Path, name: str) -> list[Path]:
        """Writes NAME.json, NAME.md and a NAME-FIGURE.svg for each figure."""
        directory.mkdir(parents=True, exist_ok=True)
        texts = {f"{name}.json": json.dumps(self.numbers(), indent=1) + "\n", f"{name}.md": self.markdown()}
        texts |= {f"{name}-{figure}.svg": svg for figure, svg in self.figures.items()}
        for file, text in texts.items():
            (directory / file).write_text(text, encoding="utf-8")
        return [directory / file for file in texts]


def plain(cell: str | Measured) -> Any:
    """A cell for JSON: text, or the values of all seeds with their digits."""
    return cell if isinstance(cell, str) else {"seeds": cell.values, "digits": cell.digits}


def tables_of(numbers: dict[str, Any]) -> list[Table]:
    """The tables of a saved JSON."""

    def cell(value: Any) -> str | Measured:
        return value if isinstance(value, str) else Measured(value["seeds"], value["digits"])

    return [
        Table(one["title"], one["columns"], [[cell(value) for value in row] for row in one["rows"]])
        for one in numbers["tables"]
    ]
