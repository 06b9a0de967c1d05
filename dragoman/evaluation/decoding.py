"""Translates test sets by candidates: what was translated before is read, and a program is compiled once for all."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from dragoman import __version__
from dragoman.evaluation.held_out import TestSet
from dragoman.evaluation.kept import Kept, hash_of
from dragoman.evaluation.results import Outputs, ReferenceProbability
from dragoman.evaluation.systems import Candidate
from dragoman.signals import never
from dragoman.training.compilations import listener
from dragoman.translation.loaded import NO_DEMANDS, Demands
from dragoman.translation.members import Member, restore
from dragoman.translation.output.resumable_output import FORMAT
from dragoman.translation.record import Details
from dragoman.translation.result import PartIds, Translation
from dragoman.translation.translator import Translator
from transformer.decoding import SearchPlan
from transformer.decoding.ensemble import Ensemble
from transformer.model import Parameters

COMPILING = "/jax/core/compile/"  # the events of tracing, lowering and compiling

Admitted = dict[Any, set[SearchPlan]]  # by the structure of models: see `Translator.with_parameters`


class Model:
    """A candidate that translates. Its parameters are loaded when something is not in the cache, and only then."""

    def __init__(
        self,
        candidate: Candidate,
        cache: Kept,
        admitted: Admitted,
        *,
        demands: Demands = NO_DEMANDS,
        load: Callable[[Member], Parameters] = restore,
    ):
        self._load = load
        self.system, self.members, self._changed = candidate
        self.cache, self._admitted = cache, admitted
        shapes = Ensemble.of_shapes(*((one.graph, one.parameters) for one in self.members), devices=jax.local_devices())
        self.planned = Translator.of_members(shapes, self.members, demands=demands)
        self.config = self.planned.config
        software = {"dragoman": __version__, "output": FORMAT}
        self._identity = {**self.planned.identity(), **software, "mbr": demands.mbr}

    @cached_property
    def translator(self) -> Translator:
        """The translator with its parameters, verified."""
        graphs = self.planned.ensemble.graphs
        parameters = [self._load(member) for member in self.members]
        return self.planned.with_parameters(parameters, self._admitted.setdefault(graphs, set()))

    def outputs(self, test_set: TestSet, *, is_stopping: Callable[[], bool] = never, first: int = 1) -> Outputs:
        """The translations of a test set. Raises Interrupted after a request to stop.

        `first` is the number of the first line: line numbers determine samples.
        """
        searched = False

        def search() -> dict[str, Any]:
            nonlocal searched
            searched = True
            translator, label = self.translator, f"{Path(self.system.name).name} {test_set.name}"
            with timed() as seconds:
                found = translator.search(test_set.sources, label=label, is_stopping=is_stopping, first=first)
            return {"seconds": seconds(), "translations": [ranks[0] for ranks in found]}

        value = self.cache.get("outputs", self._key(test_set, first), search, about=self._about(test_set))
        translations = [read(one) for one in value["translations"]]
        return Outputs(
            self.system,
            test_set,
            [one.text for one in translations],
            scores=[one.score for one in translations],
            log_probabilities=[one.log_probability for one in translations],
            translations=translations,
            seconds=value["seconds"],
            is_cached=not searched,
            search=self.search(),
            chosen_by="chrf" if self.planned.demands.mbr else "",
        )

    def search(self) -> dict[str, Any]:
        """The knobs of the search that are always reported; under "decoding", the others that are not the run's own."""
        decoding = self.config.decoding
        usual = {"beam": decoding.beam, "length_penalty": decoding.length_penalty}
        others = {name: getattr(decoding, name) for name in self._changed if name not in usual}
        others |= {"mbr": True} if self.planned.demands.mbr else {}
        return usual | ({"decoding": others} if others else {})

    def with_details(self, outputs: Outputs, *, first: int = 1) -> Outputs:
        """The outputs with words, confidences and alignments, by forced decoding with the first model."""

        def explain() -> list[Any]:
            found = [[one] for one in outputs.translations or ()]
            each = [ranks[0] for ranks in self.translator.details(outputs.test_set.sources, found)]
            return [one._replace(alignment=[(int(a), int(b)) for a, b in one.alignment]) for one in each]

        test_set = outputs.test_set
        value = self.cache.get("details", self._key(test_set, first), explain, about=self._about(test_set))
        details = [Details(*one) for one in value]
        details = [one._replace(alignment=[(a, b) for a, b in one.alignment]) for one in details]
        return outputs._replace(details=details)

    def with_references(self, outputs: Outputs) -> Outputs:
        """The outputs with the probability of the first reference of each line. An ensemble has none."""
        if len(self.members) > 1:
            return outputs

        def score() -> list[int | float]:
            found = self.translator.score(outputs.test_set.sources, outputs.test_set.reference)
            scored = [ranks[0] for ranks in found if not ranks[0].problem]
            tokens = sum(one.tokens + one.parts for one in scored)
            return [sum(one.log_probability for one in scored), tokens, len(scored)]

        test_set = outputs.test_set
        key = [self._identity, hash_of(test_set.sources, test_set.reference)]
        log_probability, tokens, sentences = self.cache.get("references", key, score, about=self._about(test_set))
        return outputs._replace(references=ReferenceProbability(log_probability, int(tokens), int(sentences)))

    def _key(self, test_set: TestSet, first: int) -> Any:
        return [self._identity, first if self.config.decoding.sampling else 1, hash_of(test_set.sources)]

    def _about(self, test_set: TestSet) -> str:
        return f"{self.system.name}, {test_set.name}, {len(test_set.sources)} lines"


def read(record: Sequence[Any]) -> Translation:
    """A translation from its JSON form, a list. Those of `dragoman evaluate` have no required terms."""
    found = Translation(*record)
    return found._replace(ids=tuple(PartIds(*ids) for ids in found.ids), terms=())


def together(parts: Sequence[Outputs], test_set: TestSet) -> Outputs:
    """The outputs for several test sets, which are the parts of `test_set`, as one."""
    first = parts[0]
    references = [part.references for part in parts if part.references]
    seconds = [part.seconds for part in parts if part.seconds is not None]

    def joined(name: str) -> list[Any] | None:
        lists = [getattr(part, name) for part in parts]
        return None if None in lists else [one for own in lists for one in own]

    sums = ReferenceProbability(*map(sum, zip(*references, strict=True))) if len(references) == len(parts) else None
    return first._replace(
        test_set=test_set,
        hypotheses=[line for part in parts for line in part.hypotheses],
        scores=joined("scores"),
        log_probabilities=joined("log_probabilities"),
        translations=joined("translations"),
        details=joined("details"),
        references=sums,
        seconds=sum(seconds) if len(seconds) == len(parts) else None,
        is_cached=all(part.is_cached for part in parts),
    )


@contextlib.contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """A function that returns the seconds in the context so far, without those in which JAX compiled."""
    begin, spans = time.monotonic(), []

    def listen(event: str, duration_secs: float, **about: Any) -> None:
        if event.startswith(COMPILING):
            now = time.monotonic()
            spans.append((now - duration_secs, now))

    def seconds() -> float:
        return time.monotonic() - begin - covered(spans)

    with listener(listen):
        yield seconds


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length that spans cover together, some of them within others: (0, 3), (1, 2), (5, 6) -> 4."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
