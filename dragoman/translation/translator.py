"""Translation from Python: `Translator.load("runs/m30k").translate(["A dog runs."])`.

Validation, `dragoman translate` and `dragoman evaluate` use it too.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from data.errors import InputError
from data.sources.corpus import fingerprint_of
from data.text.statistics import SourceStatistics
from data.vocabulary.tokenizer import Tokenizer
from dragoman.explanation.explanation import Explanation, explain
from dragoman.messages import ProgressBar
from dragoman.runs.loading import with_decoding
from dragoman.signals import SharedStop, never
from dragoman.translation.arguments import check_is_list, check_is_mapping, check_is_number, checked
from dragoman.translation.details import details_of_lines, score_lines
from dragoman.translation.generation import Generated, write_texts
from dragoman.translation.line_search import search_lines
from dragoman.translation.loaded import NO_DEMANDS, NO_STATISTICS, Demands, LoadedModel, check_demands
from dragoman.translation.members import Member, load_member, shared_config
from dragoman.translation.output.shards import Shard
from dragoman.translation.record import Details
from dragoman.translation.result import Translation
from transformer.config import Config
from transformer.decoding import SearchPlan
from transformer.decoding.ensemble import Ensemble
from transformer.model import Parameters
from transformer.model.dense import resolve_precision

CHUNK = 4096  # lines that are sorted by length, searched and written together


class Translator(LoadedModel):
    """A model or an ensemble, ready to translate on all local devices. Threads may share it."""

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        checkpoint: str | int | Path = "best",
        beam: int | None = None,
        length_penalty: float | None = None,
        n_best: int = 1,
        decoding: Mapping[str, Any] | None = None,
        ensemble: Sequence[str | Path] = (),
        demands: Demands = NO_DEMANDS,
    ) -> "Translator":
        """The translator of a run directory, or of a checkpoint inside one, verified. InputError says what is wrong.

        `checkpoint` is "best" (by validation score), "average", a step, or the path of a checkpoint. The beam and the
        length penalty default to the run's. `decoding` changes other knobs of that section. `ensemble` lists more runs
        or checkpoints, whose probabilities are averaged with this run's; they must have the same vocabulary. TypeError
        names an argument of another type.
        """
        check_is_list("ensemble", ensemble, (str, Path), of="runs")
        check_is_mapping("decoding", decoding or {})
        check_demands(demands)
        check_is_number("n_best", n_best)
        changes = dict(decoding or {})
        for name, value in (("beam", beam), ("length_penalty", length_penalty)):
            if value is not None and changes.get(name) is not None:
                raise InputError(f"{name} is given twice, as decoding.{name} too: give one of them")
            changes[name] = changes.get(name) if value is None else value
        members = [load_member(run, checkpoint, changes), *map(load_member, ensemble)]
        models = [(one.graph, one.parameters) for one in members]
        loaded = Ensemble.of(*models, devices=jax.local_devices())
        return cls.of_members(loaded, members, n_best=n_best, demands=demands)

    @classmethod
    def of_members(
        cls, ensemble: Ensemble, members: Sequence[Member], *, n_best: int = 1, demands: Demands = NO_DEMANDS
    ) -> "Translator":
        """The translator of checkpoints that were found, or loaded, as the members of an ensemble.

        If the ensemble has shapes in the place of parameters, it knows its identity and its plan, but cannot translate:
        see `with_parameters`.
        """
        first = members[0]
        return cls(
            ensemble,
            shared_config(members),
            first.tokenizer,
            statistics=first.statistics,
            n_best=n_best,
            demands=demands,
            run=first.run,
            checkpoint=first.checkpoint,
            step=first.step,
            parameters_sha256=" ".join(one.parameters_sha256 for one in members),
        )

    @classmethod
    def of(
        cls,
        graph: nnx.GraphDef,
        parameters: Parameters,
        config: Config,
        tokenizer: Tokenizer,
        *,
        statistics: SourceStatistics = NO_STATISTICS,
        n_best: int = 1,
    ) -> "Translator":
        """The translator of a model in memory, given as `split` returns it."""
        ensemble = Ensemble.of((graph, parameters), devices=jax.local_devices())
        return cls(ensemble, config, tokenizer, statistics=statistics, n_best=n_best)

    def with_(
        self,
        *,
        decoding: Mapping[str, Any] | None = None,
        n_best: int | None = None,
        demands: Demands | None = None,
    ) -> "Translator":
        """A translator of the same model with other decoding knobs or demands; None keeps the present ones."""
        check_is_mapping("decoding", decoding or {})
        return replace(
            self,
            config=with_decoding(self.config, decoding or {}),
            n_best=self.n_best if n_best is None else n_best,
            demands=self.demands if demands is None else demands,
        )

    def with_parameters(self, parameters: Sequence[Parameters], admitted: set[SearchPlan]) -> "Translator":
        """This translator with these parameters of its members, on all local devices.

        Translators whose models have the same shapes share their compiled programs. `admitted` is what they share
        beside these: the programs that are known to fit in memory, which are not compiled again to find out.
        """
        models = zip(self.ensemble.graphs, parameters, strict=True)
        return replace(self, ensemble=Ensemble.of(*models, devices=jax.local_devices()), admitted=admitted)

    def identity(self) -> dict[str, Any]:
        """Everything that determines translations, by name: parameters, vocabulary, knobs, device and software."""
        data, model, decoding = (
            section.identity("changes_translation")
            for section in (self.config.data, self.config.model, self.config.decoding)
        )
        config = {**data, **model, **{name.replace("_", " "): value for name, value in decoding.items()}}
        config["rows"] = self.plan.slots
        device, precision = jax.local_devices()[0], resolve_precision(self.config.model.precision)
        computing = {
            "jax": jax.__version__,
            "device": f"{device.platform} {device.device_kind}",
            "precision": precision,
        }
        text = {"text": fingerprint_of([json.dumps(self.rules._replace(usual={})), *self.rules.usual.values()])}
        return {"parameters": self.parameters_sha256, "tokenizer": self.tokenizer.sha256, **text, **config, **computing}

    def translate(
        self,
        lines: Iterable[str],
        *,
        prefixes: Iterable[str] = (),
        label: str = "",
    ) -> list[str]:
        """The best translation of each line, with the beginnings given in `prefixes`, if any.

        `label` names the progress bar; without a label there is no bar. InputError for a line that cannot be
        translated; `search` would return the others.
        """
        found = self.search(lines, prefixes=prefixes, label=label)
        for number, ranks in enumerate(found, 1):
            if ranks[0].problem:
                raise InputError(f"line {number}: {ranks[0].problem}")
        return [ranks[0].text for ranks in found]

    def translate_together(self, lines: Sequence[str], stop: SharedStop, *, label: str = "") -> list[str]:
        """As `translate`, divided over all processes of the job; each process gets all the translations."""
        index, count = jax.process_index(), jax.process_count()
        part = Shard(index + 1, count).lines(len(lines), name=label)

        def work() -> list[str]:
            found = self.search(
                lines[part.start : part.stop],
                label="" if index else label,
                is_stopping=lambda: stop.request.requested,
                first=part.start + 1,
            )
            return [ranks[0].text for ranks in found]

        return [text for texts in stop.gather(work) for text in texts]

    def search(
        self,
        lines: Iterable[str],
        *,
        n_best: int | None = None,
        prefixes: Iterable[str] = (),
        batch_size: int = 0,
        label: str = "",
        is_stopping: Callable[[], bool] = never,
        first: int = 1,
    ) -> list[list[Translation]]:
        """Up to `n_best` translations of each line, best first, with scores; by default as many as at `load`.

        A blank line has one empty translation, and so has one that cannot be translated: its `problem` says why.
        `prefixes` are the beginnings of the translations, one for each line; "" begins as it likes. `first` is the
        number of the first line; line numbers and `decoding.seed` determine samples. TypeError for a string instead of
        a list of lines, a line that is not text, and an `n_best` that is not a whole number.
        """
        lines, prefixes = checked(lines), checked(prefixes, what="prefix")
        if prefixes and len(prefixes) != len(lines):
            raise InputError(f"{len(lines)} lines and {len(prefixes)} prefixes: expected one for each line")
        check_is_number("batch_size", batch_size)
        if n_best is not None:
            check_is_number("n_best", n_best)
        translator = self if n_best in (None, self.n_best) else self.with_(n_best=n_best)
        with ProgressBar(label, total=len(lines)) as progress:
            return [
                found
                for start in range(0, len(lines), CHUNK)
                for found in translator.search_chunk(
                    lines[start : start + CHUNK],
                    batch_size=batch_size,
                    progress=progress,
                    is_stopping=is_stopping,
                    first=first + start,
                    prefixes=prefixes[start : start + CHUNK],
                )
            ]

    def search_chunk(
        self,
        lines: Sequence[str],
        *,
        batch_size: int = 0,
        progress: ProgressBar,
        is_stopping: Callable[[], bool] = never,
        first: int = 1,
        prefixes: Sequence[str] = (),
    ) -> list[list[Translation]]:
        """The translations of a chunk of lines: see `search_lines`."""
        return search_lines(
            self,
            lines,
            batch_size=batch_size,
            progress=progress,
            is_stopping=is_stopping,
            first=first,
            prefixes=prefixes,
        )

    def search_carefully(
        self, lines: Sequence[str], *, first: int, prefixes: Sequence[str] = ()
    ) -> list[list[Translation]]:
        """New translations of flagged lines, by the `careful` search."""
        with ProgressBar("", total=len(lines)) as progress:
            return self.careful.search_chunk(lines, progress=progress, first=first, prefixes=prefixes)

    @functools.cached_property
    def careful(self) -> "Translator":
        """This translator with a beam search that never repeats 3 pieces; all other demands still hold."""
        usual = {"sampling": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "groups": 1}
        return self.with_(decoding={**usual, "unrepeated": 3, "beam": max(4, self.n_best)})

    def generate(self, beginning: str = "", *, length: int = 0) -> list[Generated]:
        """Up to `n_best` texts that begin so, by a decoder-only model without a source: see `write_texts`."""
        return write_texts(self, beginning, length=length)

    def details(self, lines: Sequence[str], found: Sequence[Sequence[Translation]]) -> list[list[Details]]:
        """Pieces, words, confidences and alignment of each translation, by forced decoding with the first model."""
        return details_of_lines(self, lines, found)

    def explain(self, sentence: str, reference: str = "") -> Explanation:
        """One sentence followed through the model, and with a reference the loss and its gradient."""
        return explain(self, sentence, reference)

    def score(self, lines: Iterable[str], translations: Iterable[str]) -> list[list[Translation]]:
        """The given translations with their log-probabilities and scores, in the form that `search` returns.

        One that is too long for the model has a `problem` instead.
        """
        return score_lines(self, checked(lines), checked(translations, what="translation"))
