"""Translate lines of text with a run: one line out for each line in, in order.

    python translate.py runs/m30k < input.txt > output.txt
    python translate.py runs/m30k --input input.txt --output output.txt      # goes on where it was stopped

`Translator` is the same for other programs, and `translate` what validation and evaluate.py call.
"""

import argparse
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import jax
from flax import nnx

from data.errors import InputError
from data.line_stream import LineStream, open_lines
from data.lines import one_line
from data.long_lines import encode_parts
from data.progress import Progress, tell
from data.resumable_output import open_output
from data.shards import Shard, choose_shard
from data.tokenizer import Tokenizer
from data.translated_lines import write_translations
from data.translation import Translation, join
from transformer.checkpoint import restore_parameters, verify
from transformer.command_line import ArgumentParser, run_main
from transformer.config import Config
from transformer.decoding.searcher import Hypothesis, Model, Request, search_sentences
from transformer.dense import resolve_precision
from transformer.devices import use_compilation_cache
from transformer.loading import find_checkpoint, with_decoding
from transformer.model import Parameters, abstract
from transformer.run import check_hashes, config_hash, file_hash
from transformer.signals import Interrupted, StopRequest

__all__ = ["Interrupted", "Translation", "Translator", "translate"]

CHUNK = 4096  # lines whose sentences are sorted by length, searched and written together
ELSEWHERE = {"run", "checkpoint", "beam", "length_penalty"}  # options that the translator's identity tells of
ELSEWHERE |= {"input", "output", "shard", "restart", "batch_size", "chunk"}  # and those that change no byte of a line


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
        self.parameters_sha256 = ""

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
        translator.parameters_sha256 = manifest.parameters_sha256
        return translator

    def identity(self) -> dict[str, Any]:
        """All that decides its translations, by name: parameters, vocabulary, knobs, and what computes."""
        config = {"maximum_tokens": self.config.data.maximum_tokens, **self.config.model.model_dump()}
        config |= {name.replace("_", " "): value for name, value in self.config.decoding.model_dump().items()}
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

    def search(
        self, lines: Sequence[str], *, batch_size: int = 0, label: str = "", is_stopping: Callable[[], bool] = never
    ) -> list[list[Translation]]:
        """Up to `n_best` translations of each line, best first, with scores; one empty one for a blank line."""
        with Progress(label, total=len(lines)) as progress:
            return [
                found
                for first in range(0, len(lines), CHUNK)
                for found in self.search_chunk(lines[first : first + CHUNK], batch_size, progress, is_stopping)
            ]

    def search_chunk(
        self, lines: Sequence[str], batch_size: int, progress: Progress, is_stopping: Callable[[], bool]
    ) -> list[list[Translation]]:
        """The translations of lines that are searched together; raises Interrupted between batches."""
        parts = encode_parts(lines, self.tokenizer.encode_source, limit=self.limit)
        owners = [line for line, rows in enumerate(parts) for _ in rows]
        waiting = [len(rows) for rows in parts]
        progress.add(lines=waiting.count(0))
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
                progress.add(lines=int(waiting[owners[place]] == 0), tokens=found[place][0].tokens)
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


def main(arguments: list[str]) -> int | None:
    """The command line: a chunk of lines at a time, to a pipe, or to a file that goes on where it was left."""
    options = parse(arguments)
    use_compilation_cache()
    has_files = bool(options.input and options.output)
    shard = choose_shard(options.shard, process=jax.process_index(), processes=jax.process_count(), has_files=has_files)
    with StopRequest() as stop, open_lines(options.input) as lines, contextlib.suppress(Interrupted):
        translate_file(lines, shard, options, stop)
    return stop.exit_status


def translate_file(lines: LineStream, shard: Shard, options: argparse.Namespace, stop: StopRequest) -> None:
    """Translate a shard of a text, and tell what its user should know. Raises Interrupted where it is stopped."""
    with stop.interrupting():
        total = lines.count()
    part = shard.lines(total, name=lines.name)
    translator = Translator.load(
        options.run,
        checkpoint=options.checkpoint,
        beam=options.beam,
        length_penalty=options.length_penalty,
        n_best=options.n_best,
    )
    identity = {**translator.identity(), **purpose(options), "shard": str(shard)}
    path = shard.path(options.output) if options.output else None
    with open_output(path, identity=identity, restart=options.restart) as output:
        try:
            write_translations(
                lambda chunk, progress: translator.search_chunk(
                    chunk, options.batch_size, progress, lambda: stop.requested
                ),
                lines,
                output,
                part=part,
                total=None if total is None else len(part),
                chunk=options.chunk,
                use_json=options.json,
                limit=translator.limit,
                waiting=stop.interrupting,
            )
        except Interrupted:
            if output.partial and output.done.lines:
                tell(f"stopped: {output.partial} has {output.done.lines} lines; the same command goes on from there")
            raise


def purpose(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide what is written: all but those of where and how."""
    return {f"--{name}": value for name, value in vars(options).items() if name not in ELSEWHERE}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = ArgumentParser(prog="translate.py", description="Translate lines: one out for each one in, in order.")
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one: runs/NAME/checkpoints/STEP")
    parser.add_argument("--input", metavar="FILE", help="text to translate, UTF-8, plain, .gz or .xz (default: stdin)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="gets its name when complete, and until then FILE.partial, which the same command goes on with after "
        "any end (default: stdout)",
    )
    parser.add_argument("--restart", action="store_true", help="start FILE.partial afresh, whatever it was begun with")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="the I-th of N equal parts of the lines, to FILE.I-of-N: cat FILE.*-of-N is the whole (default: all; "
        "in a JAX job of several processes each has its own)",
    )
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
    parser.add_argument(
        "--chunk",
        metavar="LINES",
        type=int,
        default=CHUNK,
        help=f"lines read, translated and saved at a time (default: {CHUNK}); never changes a translation",
    )
    parser.add_argument("--beam", metavar="N", type=int, help="hypotheses kept; 1: greedy (default: the run's)")
    parser.add_argument("--length-penalty", metavar="X", type=float, help="GNMT exponent; 0: none (default: the run's)")
    parser.add_argument("--n-best", metavar="N", type=int, default=1, help="translations of each line (with --json)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each line, with scores")
    options = parser.parse_args(arguments)
    if options.batch_size < 0:
        raise InputError(f"--batch-size is {options.batch_size}: expected 1 or more")
    if options.chunk < 1:
        raise InputError(f"--chunk is {options.chunk}: expected 1 or more")
    if options.restart and not options.output:
        raise InputError("--restart needs --output FILE: only a file is gone on with")
    if options.shard and not options.input:
        raise InputError(f"--shard {options.shard} needs --input FILE: standard input can be read by one program only")
    if options.n_best > 1 and not options.json:
        raise InputError(f"--n-best {options.n_best} needs --json: plain output is one line for each input line")
    return options


if __name__ == "__main__":
    run_main(main)
