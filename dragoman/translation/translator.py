"""Translation from Python: `Translator.load("runs/m30k").translate(["A dog runs."])`.

`translate` is what validation and evaluate.py call too, and translate.py is the command line of it all.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx

from data.errors import InputError
from data.lines import one_line
from data.vocabulary.tokenizer import Tokenizer
from dragoman.messages import Progress
from dragoman.runs.checkpoint import restore_parameters
from dragoman.runs.loading import find_checkpoint, with_decoding
from dragoman.runs.manifest import read_manifest
from dragoman.runs.run import check_hashes, config_hash, file_hash
from dragoman.signals import Interrupted, SharedStop
from dragoman.translation.alignment import usual_place, words_of
from dragoman.translation.consensus import by_expected_utility
from dragoman.translation.glossary import Term, spellings, terms_in
from dragoman.translation.long_lines import encode_parts
from dragoman.translation.output.shards import Shard
from dragoman.translation.record import Details, Part, describe
from dragoman.translation.result import PartIds, Translation, join
from transformer.config import Config
from transformer.decoding.requests import LONGEST_TERM, MOST_TERMS, Request, usual_rows
from transformer.decoding.scoring import attend_pairs, forced_pair, longest_side, score_pairs
from transformer.decoding.searcher import Announced, Hypothesis, Model, on_devices, row_mesh, search_sentences
from transformer.model import Parameters, abstract
from transformer.model.dense import resolve_precision

CHUNK = 4096  # lines whose sentences are sorted by length, searched and written together


class Demands(NamedTuple):
    """What is asked of all translations besides the knobs of the `decoding` section."""

    terms: tuple[Term, ...] = ()  # where a line has a source term, its translation has the target term
    banned: tuple[str, ...] = ()  # words or phrases that are never written
    mbr: bool = False  # of all hypotheses or samples, the one that agrees most with the others


NOTHING = Demands()


def never() -> bool:
    """No request to stop."""
    return False


class Translator:
    """A model, or several that vote, with their tokenizer, ready to translate, on all local devices."""

    def __init__(
        self,
        graph: nnx.GraphDef,
        parameters: Parameters,
        config: Config,
        tokenizer: Tokenizer,
        *,
        n_best: int = 1,
        demands: Demands = NOTHING,
    ):
        if not 1 <= n_best <= config.decoding.beam:
            raise InputError(
                f"n-best is {n_best} with a beam of {config.decoding.beam}: expected 1 to {config.decoding.beam}; "
                "raise the beam for more"
            )
        self.config = with_decoding(config, {"rows": config.decoding.rows or usual_rows()})
        self.graph, self.tokenizer, self.n_best = graph, tokenizer, n_best
        self.demands = demands
        self.parameters = jax.device_put(parameters, jax.local_devices()[0])
        self.model = Model((graph,), (self.parameters,))
        self.limit = min(config.data.maximum_tokens, config.model.maximum_length)
        self.run, self.checkpoint, self.step = "", "", 0
        self.parameters_sha256 = ""
        self.banned = self.spell(demands.banned)

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        checkpoint: str = "best",
        beam: int | None = None,
        length_penalty: float | None = None,
        n_best: int = 1,
        decoding: Mapping[str, Any] | None = None,
        ensemble: Sequence[str | Path] = (),
        demands: Demands = NOTHING,
    ) -> "Translator":
        """The translator of a run directory, or of a checkpoint inside one, verified. InputError names what is wrong.

        `checkpoint` is "best" (by validation score), "average", a step, or the path of a checkpoint; without a beam or
        a length penalty the run's own are used. `decoding` changes other knobs of that section. The probabilities of
        the runs or checkpoints of `ensemble`, which must have the same vocabulary, are averaged with those of the run.
        """
        directory, home = find_checkpoint(Path(run), checkpoint)
        changes = dict(decoding or {})
        for name, value in (("beam", beam), ("length_penalty", length_penalty)):
            if value is not None and changes.get(name) is not None:
                raise InputError(f"{name} is given twice, as decoding.{name} too: give one of them")
            changes[name] = changes.get(name) if value is None else value
        config = with_decoding(home.load_config(), changes)
        hashes = {"config": config_hash(config), "tokenizer": file_hash(home.tokenizer_paths(config))}
        manifest = read_manifest(directory)  # its parameters are verified when they are loaded
        check_hashes(manifest, hashes, where=directory)
        tokenizer = Tokenizer.load(home.path)
        by_xla = config.with_model({"attention_kernel": "xla"})  # cuDNN's was timed for training, on the GPU of that
        graph, template = abstract(by_xla.model, tokenizer.source_size, tokenizer.target_size)
        parameters = restore_parameters(directory, template)
        translator = cls(graph, parameters, config, tokenizer, n_best=n_best, demands=demands)
        translator.run, translator.checkpoint, translator.step = str(run), directory.name, manifest.step
        translator.parameters_sha256 = manifest.parameters_sha256
        for other in ensemble:
            translator.join_with(cls.load(other))
        return translator

    def join_with(self, other: "Translator") -> None:
        """Let another model vote too. InputError if its vocabulary is not the same."""
        if other.tokenizer.sha256 != self.tokenizer.sha256:
            raise InputError(f"{other.run} has another vocabulary than {self.run}: an ensemble needs one and the same")
        shortest = min(self.config.model.maximum_length, other.config.model.maximum_length)
        self.config = self.config.model_copy(
            update={"model": self.config.model.model_copy(update={"maximum_length": shortest})}
        )
        self.limit = min(self.limit, other.limit)
        self.model = Model((*self.model.graphs, *other.model.graphs), (*self.model.parameters, *other.model.parameters))
        self.parameters_sha256 += f" {other.parameters_sha256}"

    def spell(self, words: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Every spelling of words in pieces. InputError for a word that the vocabulary cannot write."""
        pieces = {piece: place for place, piece in enumerate(self.tokenizer.target_vocabulary())} if words else {}
        found: list[tuple[int, ...]] = []
        for word in words:
            if not (ways := spellings(word, pieces)):
                raise InputError(f"banned word {word!r} cannot be written with this vocabulary: leave it out")
            found += ways
        return tuple(found)

    def identity(self) -> dict[str, Any]:
        """All that decides its translations, by name: parameters, vocabulary, knobs, and what computes."""
        data, model, decoding = (
            section.identity("changes_translation")
            for section in (self.config.data, self.config.model, self.config.decoding)
        )
        config = {**data, **model, **{name.replace("_", " "): value for name, value in decoding.items()}}
        device, precision = jax.local_devices()[0], resolve_precision(self.config.model.precision)
        computing = {
            "jax": jax.__version__,
            "device": f"{device.platform} {device.device_kind}",
            "precision": precision,
        }
        return {"parameters": self.parameters_sha256, "tokenizer": self.tokenizer.sha256, **config, **computing}

    def translate(self, lines: Sequence[str], *, label: str = "", is_stopping: Callable[[], bool] = never) -> list[str]:
        """The best translation of each line. `label` names the progress bar; without one there is none."""
        return translate(self, lines, label=label, is_stopping=is_stopping)

    def translate_together(self, lines: Sequence[str], stop: SharedStop, *, label: str = "") -> list[str]:
        """As `translate`, by all processes of the job: each takes a part of the lines, and gets the whole."""
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
        lines: Sequence[str],
        *,
        batch_size: int = 0,
        label: str = "",
        is_stopping: Callable[[], bool] = never,
        first: int = 1,
    ) -> list[list[Translation]]:
        """Up to `n_best` translations of each line, best first, with scores; one empty one for a blank line.

        `first` is the number of the first line, which with `decoding.seed` decides its samples.
        """
        with Progress(label, total=len(lines)) as progress:
            return [
                found
                for start in range(0, len(lines), CHUNK)
                for found in self.search_chunk(
                    lines[start : start + CHUNK], batch_size, progress, is_stopping, first=first + start
                )
            ]

    def search_chunk(
        self,
        lines: Sequence[str],
        batch_size: int,
        progress: Progress,
        is_stopping: Callable[[], bool],
        *,
        first: int = 1,
        prefixes: Sequence[str] = (),
    ) -> list[list[Translation]]:
        """The translations of lines that are searched together; raises Interrupted between batches.

        `first` is the number of the first line, which with `decoding.seed` decides its samples; `prefixes` are how
        the translation of each line begins.
        """
        parts = encode_parts(lines, self.tokenizer.encode_source, limit=self.limit)
        owners = [line for line, rows in enumerate(parts) for _ in rows]
        requests = self.requests(lines, parts, first=first, prefixes=prefixes)
        waiting = [len(rows) for rows in parts]
        progress.add(lines=waiting.count(0))
        found: dict[int, list[Translation]] = {}
        devices = jax.local_devices()
        self.model = on_devices(self.model, row_mesh(devices))
        for places, hypotheses in search_sentences(
            self.model,
            requests,
            decoding=self.config.decoding,
            maximum_length=self.config.model.maximum_length,
            keep=self.config.decoding.beam if self.demands.mbr else self.n_best,
            batch_size=batch_size,
            announced=Announced(self.banned, prefixes=bool(prefixes), terms=bool(self.demands.terms)),
            devices=devices,
        ):
            if is_stopping():
                raise Interrupted
            for place, row in zip(places, hypotheses, strict=True):
                found[place] = self.read(requests[place].source, row)
                waiting[owners[place]] -= 1
                progress.add(lines=int(waiting[owners[place]] == 0), tokens=found[place][0].tokens)
        in_order = iter(found[place] for place in range(len(owners)))
        return [join([next(in_order) for _ in rows]) for rows in parts]

    def requests(
        self, lines: Sequence[str], parts: Sequence[Sequence[Sequence[int]]], *, first: int, prefixes: Sequence[str]
    ) -> list[Request]:
        """A request for each part of each line: the prefix is asked of the first part, a term of the part that has it.

        InputError for a prefix that is too long, or terms that are too many or too long.
        """
        begun = self.tokenizer.encode_target(prefixes) if prefixes else [[] for _ in lines]
        found = []
        for number, (line, rows, prefix) in enumerate(zip(lines, parts, begun, strict=True), first):
            if len(prefix) >= self.config.model.maximum_length:
                raise InputError(f"line {number}: its prefix has {len(prefix)} tokens, more than the model can write")
            for place, row in enumerate(rows):
                text = line if len(rows) == 1 else self.tokenizer.decode_source([row])[0]
                targets = [term.target for term in terms_in(text, self.demands.terms)]
                terms = [ids for ids in self.tokenizer.encode_target(targets) if ids] if targets else []
                if len(terms) > MOST_TERMS or any(len(ids) > LONGEST_TERM for ids in terms):
                    raise InputError(
                        f"line {number}: {len(terms)} terms, the longest of {max(map(len, terms))} tokens: at most "
                        f"{MOST_TERMS} terms of {LONGEST_TERM} tokens can be required of a sentence"
                    )
                found.append(Request(row, line=number, prefix=() if place else prefix, terms=terms))
        return found

    def read(self, source: Sequence[int], hypotheses: Sequence[Hypothesis]) -> list[Translation]:
        """Hypotheses as text, each on one line: by score, or by what they agree on."""
        texts = [one_line(text) for text in self.tokenizer.decode([hypothesis.tokens for hypothesis in hypotheses])]
        order = by_expected_utility(texts) if self.demands.mbr else range(len(texts))
        return [
            Translation(
                texts[place],
                hypotheses[place].log_probability,
                hypotheses[place].score,
                len(hypotheses[place].tokens),
                hypotheses[place].is_finished,
                1,
                (PartIds(source, hypotheses[place].tokens, hypotheses[place].is_finished),),
            )
            for place in list(order)[: self.n_best]
        ]

    def describe(self, lines: Sequence[str], found: Sequence[Sequence[Translation]]) -> list[list[Details]]:
        """Pieces, words, confidences and alignment of each translation, by the first model's forced decoder."""
        parts = [ids for ranks in found for one in ranks for ids in one.ids]
        pairs = [forced_pair(one.source, one.target, is_finished=one.is_finished) for one in parts]
        place = usual_place(self.config.model.decoder_layers)
        shape = {"rows": self.config.decoding.rows, "maximum_length": self.config.model.maximum_length}
        scores = in_order(score_pairs(self.graph, self.parameters, pairs, **shape), len(pairs))
        weights = in_order(attend_pairs(self.graph, self.parameters, pairs, layer=place.layer, **shape), len(pairs))
        vocabulary = self.tokenizer.source_vocabulary()
        described = []
        for pair, scored, looked in zip(pairs, scores, weights, strict=True):
            pieces = self.tokenizer.target_pieces(pair.labels)
            described.append(Part([vocabulary[id_] for id_ in pair.source], pieces, words_of(pieces), scored, looked))
        remaining = iter(described)
        return [
            [
                describe(self.tokenizer.source_words(line), [next(remaining) for _ in one.ids], shift=place.shift)
                for one in ranks
            ]
            for line, ranks in zip(lines, found, strict=True)
        ]

    def score(self, lines: Sequence[str], translations: Sequence[str], *, first: int = 1) -> list[list[Translation]]:
        """Given translations with their log-probabilities: as `search`, but nothing is searched.

        `first` is the number of the first line. InputError names a line that is too long for the model.
        """
        sources, targets = self.tokenizer.encode_source(lines), self.tokenizer.encode_target(translations)
        pairs = [forced_pair(source, target) for source, target in zip(sources, targets, strict=True)]
        longest = self.config.model.maximum_length
        for number, pair in enumerate(pairs, first):
            if longest_side(pair) > longest:
                raise InputError(
                    f"line {number}: {len(pair.source)} source and {len(pair.labels)} target tokens, EOS counted; the "
                    f"model scores at most {longest} on a side: leave it out, or score its sentences apart"
                )
        shape = {"rows": self.config.decoding.rows, "maximum_length": longest}
        scores = in_order(score_pairs(self.graph, self.parameters, pairs, **shape), len(pairs))
        return [
            [Translation(text, total, total, len(target), True, 1, (PartIds(source, target, True),))]
            for text, source, target, total in zip(
                translations, sources, targets, [float(row.sum(dtype="float64")) for row in scores], strict=True
            )
        ]

    def again(self, lines: Sequence[str], *, first: int, prefixes: Sequence[str] = ()) -> list[list[Translation]]:
        """The translations of lines that looped or strayed: searched anew, without any run of 3 pieces twice.

        By beam search, whatever the first search was; all else that is demanded of them still holds.
        """
        usual = {"sampling": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "groups": 1}
        config = with_decoding(self.config, {**usual, "unrepeated": 3, "beam": max(4, self.n_best)})
        careful = Translator(
            self.graph, self.parameters, config, self.tokenizer, n_best=self.n_best, demands=self.demands
        )
        careful.model = self.model
        with Progress("", total=len(lines)) as progress:
            return careful.search_chunk(lines, 0, progress, never, first=first, prefixes=prefixes)


def in_order(batches: Any, count: int) -> list[Any]:
    """The results of batches, each with their places, in the order of the places."""
    found = {place: row for places, rows in batches for place, row in zip(places, rows, strict=True)}
    return [found[place] for place in range(count)]


def translate(
    translator: Translator, lines: Sequence[str], *, label: str = "", is_stopping: Callable[[], bool] = never
) -> list[str]:
    """The best translation of each line, in order: what validation and evaluate.py score."""
    return [found[0].text for found in translator.search(lines, label=label, is_stopping=is_stopping)]
