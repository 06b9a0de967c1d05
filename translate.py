"""Translate lines of text with a run: one line out for each line in, in order.

    python translate.py runs/m30k < input.txt > output.txt

`Translator` is the same for other programs, and `translate` what validation and evaluate.py call.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import jax
from flax import nnx
from tqdm import tqdm

from data.errors import InputError
from data.lines import one_line, read_lines
from data.long_lines import encode_parts
from data.output import open_output
from data.tokenizer import Tokenizer
from transformer.checkpoint import restore_parameters, verify
from transformer.command_line import ArgumentParser, run_main
from transformer.config import Config
from transformer.decoding.searcher import Hypothesis, Model, Request, search_sentences
from transformer.devices import use_compilation_cache
from transformer.loading import find_checkpoint, with_decoding
from transformer.model import Parameters, abstract
from transformer.run import check_hashes, config_hash, file_hash
from transformer.signals import StopRequest

CHUNK = 4096  # lines whose sentences are sorted by length, searched and written together
MANY = 2000  # lines from which progress is shown even where no one may be watching


class Interrupted(Exception):
    """Translation was asked to stop, and did so between two batches."""


class Translation(NamedTuple):
    """One translation of a line, with the sums of its parts where the line was too long for one search."""

    text: str
    log_probability: float
    score: float  # log-probability divided by the length penalty; larger is better
    tokens: int  # without EOS
    is_finished: bool  # False: the search met its length limit before the end of the sentence
    parts: int  # 1 for most lines, 0 for a blank one


BLANK = Translation("", 0.0, 0.0, tokens=0, is_finished=True, parts=0)


def never() -> bool:
    """No request to stop."""
    return False


class Translator:
    """A model with its tokenizer, ready to translate, on the first local device."""

    def __init__(
        self, graph: nnx.GraphDef, parameters: Parameters, config: Config, tokenizer: Tokenizer, *, n_best: int = 1
    ):
        if not 1 <= n_best <= config.decoding.beam:
            raise InputError(
                f"n-best is {n_best} with a beam of {config.decoding.beam}: expected 1 to {config.decoding.beam}; "
                "raise the beam for more"
            )
        self.graph, self.config, self.tokenizer, self.n_best = graph, config, tokenizer, n_best
        self.parameters = jax.device_put(parameters, jax.local_devices()[0])
        self.limit = min(config.data.maximum_tokens, config.model.maximum_length)
        self.run, self.checkpoint, self.step = "", "", 0

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        checkpoint: str = "best",
        beam: int | None = None,
        length_penalty: float | None = None,
        n_best: int = 1,
    ) -> Self:
        """The translator of a run directory, or of a checkpoint inside one, verified. InputError names what is wrong.

        `checkpoint` is "best" (by validation BLEU), "average", a step, or the path of a checkpoint; without a beam or
        a length penalty the run's own are used.
        """
        directory, home = find_checkpoint(Path(run), checkpoint)
        config = with_decoding(home.load_config(), {"beam": beam, "length_penalty": length_penalty})
        hashes = {"config": config_hash(config), "tokenizer": file_hash(home.tokenizer_paths(config))}
        manifest = verify(directory)
        check_hashes(manifest, hashes, where=directory)
        tokenizer = Tokenizer.load(home.path)
        graph, template = abstract(config.model, tokenizer.source_size, tokenizer.target_size)
        translator = cls(graph, restore_parameters(directory, template), config, tokenizer, n_best=n_best)
        translator.run, translator.checkpoint, translator.step = str(run), directory.name, manifest.step
        return translator

    def translate(self, lines: Sequence[str], *, label: str = "", is_stopping: Callable[[], bool] = never) -> list[str]:
        """The best translation of each line. `label` names the progress bar; without one there is none."""
        return translate(self, lines, label=label, is_stopping=is_stopping)

    def search(
        self, lines: Sequence[str], *, batch_size: int = 0, label: str = "", is_stopping: Callable[[], bool] = never
    ) -> list[list[Translation]]:
        """Up to `n_best` translations of each line, best first, with scores; one empty one for a blank line."""
        chunks = self.search_chunks(lines, batch_size=batch_size, label=label, is_stopping=is_stopping)
        return [found for chunk in chunks for found in chunk]

    def search_chunks(
        self, lines: Sequence[str], *, batch_size: int = 0, label: str = "", is_stopping: Callable[[], bool] = never
    ) -> Iterator[list[list[Translation]]]:
        """As `search`, a few thousand lines at a time, so that memory does not grow with the input."""
        is_hidden = not label or not (sys.stderr.isatty() or len(lines) >= MANY)
        with tqdm(total=len(lines), desc=label, unit="line", disable=is_hidden, mininterval=1.0) as progress:
            for first in range(0, len(lines), CHUNK):
                yield self.search_chunk(lines[first : first + CHUNK], batch_size, progress, is_stopping)

    def search_chunk(
        self, lines: Sequence[str], batch_size: int, progress: tqdm, is_stopping: Callable[[], bool]
    ) -> list[list[Translation]]:
        """The translations of lines that are searched together; raises Interrupted between batches."""
        parts = encode_parts(lines, self.tokenizer.encode_source, limit=self.limit)
        owners = [line for line, rows in enumerate(parts) for _ in rows]
        waiting = [len(rows) for rows in parts]
        progress.update(waiting.count(0))
        found: dict[int, list[Translation]] = {}
        for places, hypotheses in search_sentences(
            Model((self.graph,), (self.parameters,)),
            [Request(row) for rows in parts for row in rows],
            decoding=self.config.decoding,
            maximum_length=self.config.model.maximum_length,
            keep=self.n_best,
            batch_size=batch_size,
        ):
            if is_stopping():
                raise Interrupted
            for place, row in zip(places, hypotheses, strict=True):
                found[place] = self.read(row)
                waiting[owners[place]] -= 1
                progress.update(waiting[owners[place]] == 0)
        in_order = iter(found[place] for place in range(len(owners)))
        return [join([next(in_order) for _ in rows]) for rows in parts]

    def read(self, hypotheses: Sequence[Hypothesis]) -> list[Translation]:
        """Hypotheses as text, each on one line."""
        texts = self.tokenizer.decode([hypothesis.tokens for hypothesis in hypotheses])
        return [
            Translation(one_line(text), found.log_probability, found.score, len(found.tokens), found.is_finished, 1)
            for text, found in zip(texts, hypotheses, strict=True)
        ]


def translate(
    translator: Translator, lines: Sequence[str], *, label: str = "", is_stopping: Callable[[], bool] = never
) -> list[str]:
    """The best translation of each line, in order: what validation and evaluate.py score."""
    return [found[0].text for found in translator.search(lines, label=label, is_stopping=is_stopping)]


def join(parts: Sequence[Sequence[Translation]]) -> list[Translation]:
    """The translations of a line from those of its parts: the best of each, the second best of each, and so on."""
    if not parts:
        return [BLANK]
    return [
        Translation(
            text=" ".join(part.text for part in rank),
            log_probability=sum(part.log_probability for part in rank),
            score=sum(part.score for part in rank),
            tokens=sum(part.tokens for part in rank),
            is_finished=all(part.is_finished for part in rank),
            parts=len(parts),
        )
        for rank in zip(*parts, strict=False)
    ]


def main(arguments: list[str]) -> int | None:
    """The command line: reads all input, then writes line by line, or a whole file or none."""
    options = parse(arguments)
    use_compilation_cache()
    translator = Translator.load(
        options.run,
        checkpoint=options.checkpoint,
        beam=options.beam,
        length_penalty=options.length_penalty,
        n_best=options.n_best,
    )
    name = options.input or "standard input"
    lines = read_lines(options.input or sys.stdin.buffer.read(), name=name)
    unfinished = 0
    with StopRequest() as stop, contextlib.suppress(Interrupted), open_output(options.output) as output:
        chunks = translator.search_chunks(
            lines, batch_size=options.batch_size, label="translate", is_stopping=lambda: stop.requested
        )
        for number, found in enumerate((line for chunk in chunks for line in chunk), 1):
            output.write(show(number, found, use_json=options.json).encode() + b"\n")
            unfinished += not found[0].is_finished
            if found[0].parts > 1:
                warn(
                    f"{name}, line {number}: longer than {translator.limit} tokens, the longest in training: "
                    f"translated in {found[0].parts} parts"
                )
    if unfinished and not stop.requested:
        warn(
            f"{name}: {unfinished} of {len(lines)} lines met the length limit before their end: "
            "see decoding.maximum_ratio and decoding.maximum_extra"
        )
    return stop.exit_status


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="translate.py", description="Translate lines: one out for each one in, in order.")
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one: runs/NAME/checkpoints/STEP")
    parser.add_argument("--input", metavar="FILE", help="text to translate, UTF-8, plain, .gz or .xz (default: stdin)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="written whole or not at all (default: stdout)")
    parser.add_argument(
        "--checkpoint", metavar="STEP|average|PATH", default="best", help="default: best validation BLEU"
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=int,
        default=0,
        help="sentences searched at once, up to decoding.rows, the default; never changes a translation",
    )
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add_argument("--length-penalty", metavar="X", type=float, help="GNMT exponent; 0: none (default: the run's)")
    parser.add_argument("--n-best", metavar="N", type=int, default=1, help="translations of each line (with --json)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each line, with scores")
    options = parser.parse_args(arguments)
    if options.batch_size < 0:
        raise InputError(f"--batch-size is {options.batch_size}: expected 1 or more")
    if options.n_best > 1 and not options.json:
        raise InputError(f"--n-best {options.n_best} needs --json: plain output is one line for each input line")
    return options


def show(number: int, found: Sequence[Translation], *, use_json: bool) -> str:
    """What is written for a line."""
    if not use_json:
        return found[0].text
    return json.dumps({"line": number, "translations": [one._asdict() for one in found]}, ensure_ascii=False)


def warn(message: str) -> None:
    """One line on standard error, beside any progress bar."""
    tqdm.write(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    run_main(main)
