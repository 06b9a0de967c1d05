"""Translation speed of a run, beside CTranslate2 with the same weights and Hugging Face's generate, on the same cores.

    python benchmarks/decode.py runs/m30k test.en --lines 1000 [--beams 5 1] [--peer-python PYTHON]

- Dragoman: `dragoman.Translator`, text to text, with tokenising and detokenising.
- CTranslate2: the run exported in float32 and int8, text to text by the exported translate.py. That program sorts lines
  by length into batches, as CTranslate2's documentation advises. With n cores it may translate one batch on all of
  them, or n batches on one each: both are tried before the clock starts, and the faster is timed. It runs on CPUs here.
  On a machine with a GPU, leave it out by giving --ctranslate2-precision no value.
- transformers: `generate` of a MarianMTModel of the same sizes with random weights, in a Python of its own
  (benchmarks/marian_decode_peer.py). It goes from ids to ids: its time includes neither tokenising nor detokenising.
  Lines are sorted by length. With min_new_tokens = max_new_tokens, each batch ends at the longest output that Dragoman
  wrote for its lines, which is where a trained model with these outputs would end. In float32, or in bfloat16 on a GPU.

Each system first translates all lines once, to compile and warm up; that time is reported separately. Then the systems
take turns. The script prints a table of medians over the rounds, and one JSON line. The end of a sentence counts as a
target token; for the peer, Dragoman's tokens are counted, without padding. All cores that the process may use are used:
`taskset -c 0,1` gives it two.
"""

from dragoman.commands.huge_pages import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from data.errors import InputError
from data.lines import read_lines
from dragoman.commands.export import as_trained
from dragoman.commands.options import ArgumentParser, run_main
from dragoman.exchange.ctranslate2_model import write_ctranslate2
from dragoman.exchange.trained import require
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache, use_cores
from transformer.model import abstract
from transformer.model.dense import resolve_precision

PEER = Path(__file__).with_name("marian_decode_peer.py")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class System(NamedTuple):
    """One line of the table."""

    name: str
    precision: str
    beam: int
    measure: Callable[[], tuple[float, int]]  # translates all lines: seconds, and target tokens
    warm_up: float  # seconds of the first time
    about: str = ""


def with_precision(loaded: Translator, precision: str, beam: int) -> Translator:
    """The run's translator under another precision policy and beam, with the usual number of rows."""
    model = loaded.config.model.model_copy(update={"precision": precision})
    decoding = loaded.config.decoding.model_copy(update={"beam": beam, "rows": 0})
    graph, _ = abstract(model, loaded.tokenizer.source_size, loaded.tokenizer.target_size)
    config = loaded.config.model_copy(update={"model": model, "decoding": decoding})
    return Translator.of(graph, loaded.parameters, config, loaded.tokenizer)


def dragoman(translator: Translator, lines: Sequence[str]) -> System:
    """Dragoman, compiled."""

    def measure() -> tuple[float, int]:
        start = time.perf_counter()
        found = translator.search(lines)
        return time.perf_counter() - start, sum(best[0].tokens + 1 for best in found)

    decoding, precision = translator.config.decoding, resolve_precision(translator.config.model.precision)
    return System("Dragoman", precision, decoding.beam, measure, measure()[0])


def ctranslate2(directory: Path, precision: str, beam: int, batch_size: int, lines: Sequence[str]) -> System:
    """CTranslate2 on all cores, laid out as is faster for these lines."""
    from dragoman.exchange import standalone

    def system(translations: int) -> System:
        translator = standalone.Translator(
            directory, compute_type=precision, inter_threads=translations, intra_threads=CORES // translations
        )

        def measure() -> tuple[float, int]:
            start = time.perf_counter()
            texts = translator.translate(lines, beam=beam, batch_size=batch_size)
            seconds = time.perf_counter() - start
            return seconds, sum(len(row) + 1 for row in translator.target.encode(texts))

        about = f"{translations} x {CORES // translations} threads"
        measure()
        return System("CTranslate2", precision, beam, measure, measure()[0], about)

    return min((system(translations) for translations in {1, CORES}), key=lambda found: found.warm_up)


def peer(python: str, translator: Translator, batch_size: int, lines: Sequence[str]) -> System:
    """The peer, made to write as many tokens as the translator does."""
    decoding, model = translator.config.decoding, translator.config.model
    precision = "bfloat16" if jax.default_backend() == "gpu" else "float32"
    lengths = [best[0].tokens + 1 for best in translator.search(lines)]
    sources = translator.tokenizer.encode_source(lines)
    order = sorted(range(len(lines)), key=lambda place: len(sources[place]))
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    task = {
        "batches": [[sources[place] for place in batch] for batch in batches],
        "lengths": [max(lengths[place] for place in batch) for batch in batches],
        "beam": decoding.beam,
        "threads": CORES,
        "precision": precision,
        "vocabulary": translator.tokenizer.target_size,
        **model.model_dump(include={"encoder_layers", "decoder_layers", "width", "heads", "feed_forward"}),
    }

    def measure() -> tuple[float, int]:
        done = subprocess.run([python, str(PEER)], input=json.dumps(task), capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{PEER.name} failed: {done.stderr.strip().rpartition(chr(10))[2]}")
        return json.loads(done.stdout)["seconds"], sum(lengths)

    return System("transformers MarianMTModel", precision, decoding.beam, measure, 0.0, "random weights")


def build(options: Any, loaded: Translator, lines: Sequence[str], directory: Path) -> list[System]:
    """Every line of the table, compiled and warm."""
    for precision in options.ctranslate2_precision:
        (directory / precision).mkdir()
        write_ctranslate2(as_trained(loaded), directory / precision, quantization=precision)
    systems = []
    for beam in options.beams:
        translators = [with_precision(loaded, name, beam) for name in options.precision]
        systems += [dragoman(translator, lines) for translator in translators]
        for precision in options.ctranslate2_precision:
            systems.append(ctranslate2(directory / precision, precision, beam, options.batch_size, lines))
        if options.peer_python:
            systems.append(peer(options.peer_python, translators[0], options.batch_size, lines))
    return systems


def results(systems: Sequence[System], repeats: int, sentences: int) -> list[dict[str, Any]]:
    """Medians over rounds in which each system translates once."""
    rounds = [[system.measure() for system in systems] for _ in range(repeats)]
    found = []
    for system, measured in zip(systems, zip(*rounds, strict=True), strict=True):
        seconds = [one[0] for one in measured]
        median, tokens = statistics.median(seconds), measured[0][1]
        about = {"system": system.name, "precision": system.precision, "beam": system.beam, "about": system.about}
        rates = {"sentences_per_second": sentences / median, "tokens_per_second": tokens / median}
        found.append({**about, **rates, "tokens": tokens, "seconds": seconds, "warm_up_seconds": system.warm_up})
    return found


def table(found: Sequence[dict[str, Any]]) -> str:
    """One line a system, precision and beam."""
    rows = [f"{'system':28} {'precision':17} {'beam':>4} {'sentences/s':>11} {'tokens/s':>9} {'slowest/fastest':>15}"]
    for one in found:
        rows.append(
            f"{one['system']:28} {one['precision']:17} {one['beam']:4} {one['sentences_per_second']:11,.1f} "
            f"{one['tokens_per_second']:9,.0f} {max(one['seconds']) / min(one['seconds']):15.2f}  {one['about']}"
        )
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks/decode.py", description="Translation speed, beside two peers.")
    parser.add_argument("run", metavar="RUN", help="run directory, or a checkpoint in one")
    parser.add_argument("source", metavar="SOURCE", help="text to translate; plain, .gz, .xz or .zst")
    parser.add_argument("--lines", metavar="N", type=int, default=1000, help="of the source (default 1000)")
    parser.add_argument("--beams", metavar="N", type=int, nargs="+", default=[5, 1], help="(default 5 1)")
    parser.add_argument(
        "--ctranslate2-precision", nargs="*", default=["float32", "int8"], help="of CTranslate2; no value: leave it out"
    )
    parser.add_argument("--repeats", metavar="N", type=int, default=3, help="rounds (default 3)")
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=32, help="sentences in a batch of the peers (default 32)"
    )
    parser.add_argument("--precision", nargs="+", default=["auto", "float32"], help="Dragoman's policies to time")
    parser.add_argument("--peer-python", default="", help="Python with torch and transformers")
    options = parser.parse_args(arguments)
    for name in ("lines", "repeats", "batch_size"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(options, name)}: expected 1 or more")
    version = require("ctranslate2").__version__ if options.ctranslate2_precision else "left out"
    use_compilation_cache()
    loaded = Translator.load(options.run)
    lines = read_lines(options.source)[: options.lines]
    lengths = map(len, loaded.tokenizer.encode_source(lines))
    fit = [line for line, length in zip(lines, lengths, strict=True) if line.strip() and length <= loaded.limit]
    with tempfile.TemporaryDirectory() as directory:
        found = results(build(options, loaded, fit, Path(directory)), options.repeats, len(fit))
    left_out = f" ({len(lines) - len(fit)} left out: blank or too long)" if len(fit) < len(lines) else ""
    print(f"{platform.machine()}, {CORES} cores, jax {jax.__version__}, CTranslate2 {version}")
    print(
        f"{options.run}: {len(fit)} lines{left_out}, peers in batches of {options.batch_size}, {options.repeats} rounds"
    )
    print(table(found))
    if not options.peer_python:
        print("no --peer-python: transformers left out")
    for one in found:
        if one["system"] == "Dragoman":
            print(
                f"{one['precision']}, beam {one['beam']}: first time {one['warm_up_seconds']:.1f} s, with compilation"
            )
    print(json.dumps(found))


if __name__ == "__main__":
    use_cores()
    run_main(main)
