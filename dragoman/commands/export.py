"""Export a run for other programs: as a CTranslate2 model, or as safetensors.

    dragoman export runs/m30k exported/m30k --format ctranslate2 --quantization int8

A CTranslate2 export is compared with the run before its directory gets its final name: see dragoman/exchange/parity.py.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from data.errors import InputError
from data.lines import read_lines
from data.sources import load_corpora
from data.sources.files import text_files
from dragoman.commands.options import ArgumentParser, add_config_options, add_run_options, section_overrides
from dragoman.commands.paths import check_directory_name, check_outputs
from dragoman.exchange import FORMATS, Trained
from dragoman.exchange.ctranslate2_model import QUANTIZATIONS
from dragoman.exchange.trained import require
from dragoman.files import begin_directory, check_writable, finish_directory, is_utf8, target_of, write_json
from dragoman.messages import tell
from dragoman.runs.loading import find_checkpoint
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache

LINES = 200


def main(arguments: list[str]) -> int:
    """The exit status of the command: 1 if the exported model behaves differently from the run."""
    options = parse(arguments)
    check_files(options)
    require(options.format)
    use_compilation_cache()
    decoding = section_overrides(options, "decoding")
    translator = Translator.load(options.run, checkpoint=options.checkpoint, decoding=decoding)
    trained = as_trained(translator)
    lines = [] if options.report == 0 else lines_to_compare(translator, options)
    partial = begin_directory(options.directory)
    if options.format == "ctranslate2":
        FORMATS[options.format](trained, partial, quantization=options.quantization)
    else:
        tell("note: safetensors contains no search; config.json records how the run searches")
        FORMATS[options.format](trained, partial)
    report = parity_report(translator, trained, partial, lines, options) if lines else {"problems": []}
    if lines:
        print(table(report))
        if options.json:
            write_json(options.json, report)
    for problem in report["problems"]:
        tell(f"differs: {problem}")
    if report["problems"]:
        tell(f"error: not exported: {partial} behaves differently from {options.run}")
        return 1
    finish_directory(partial, options.directory)
    print(f"exported {options.run}, checkpoint {translator.checkpoint}, as {options.format}: {options.directory}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed options. InputError for options that the format does not have."""
    parser = ArgumentParser(
        description="Export a run for CTranslate2, or as safetensors. CTranslate2 searches with the run's beam, length "
        "penalty and\nlength limits. Any other decoding option must have its default value. safetensors contains no "
        "search.",
    )
    add_run_options(parser)
    parser.add_argument("directory", metavar="DIRECTORY", type=Path, help="where to write; new, or empty")
    parser.add_argument("--format", choices=list(FORMATS), required=True, help="what to write")
    only = "(ctranslate2)"
    parser.add_argument(
        "--quantization", choices=QUANTIZATIONS, help=f"type of the stored weights; default: float32 {only}"
    )
    parser.add_argument(
        "--report",
        metavar="N",
        type=int,
        help=f"number of lines compared with the run, default {LINES}; 0: none {only}",
    )
    parser.add_argument(
        "--lines", metavar="FILE", help=f"compare these lines; default: the run's validation set {only}"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help=f"write the comparison as JSON {only}")
    add_config_options(parser, ["decoding"], default="the run's")
    options = parser.parse_args(arguments)
    for name in ("quantization", "report", "lines", "json"):
        if options.format != "ctranslate2" and getattr(options, name) is not None:
            raise InputError(f"--{name} is for --format ctranslate2, found --format {options.format}: leave it out")
    if options.format != "ctranslate2":
        options.report = 0
    options.quantization = options.quantization or "float32"
    options.report = LINES if options.report is None else options.report
    if options.report < 0:
        raise InputError(f"--report is {options.report}: expected 0 or more")
    for name in ("lines", "json"):
        if options.report == 0 and getattr(options, name):
            raise InputError(f"--{name} needs a comparison, and --report 0 leaves it out")
    return options


def check_files(options: argparse.Namespace) -> None:
    """InputError if --json would overwrite a file that is read, be among the exported files, or be unwritable.

    InputError too for a DIRECTORY called "-", or one that CTranslate2 could not open.
    """
    check_directory_name("DIRECTORY", options.directory)
    check_outputs([("--json", options.json)], [("--lines", options.lines)], runs=[options.run])
    directory = target_of(options.directory).resolve()
    if options.format == "ctranslate2" and not is_utf8(directory):
        raise InputError(f"{options.directory}: the path of a CTranslate2 model must be UTF-8: choose another")
    if options.json is None:
        return
    for exported in (directory, Path(f"{directory}.partial")):
        if options.json.resolve().is_relative_to(exported):
            raise InputError(
                f"--json {options.json} is inside DIRECTORY, which holds the export alone: choose another file"
            )
    check_writable(options.json)


def as_trained(translator: Translator) -> Trained:
    """The parts of a loaded run that are exported."""
    home = find_checkpoint(Path(translator.run), "best")[1]
    return Trained(
        config=translator.config,
        parameters=jax.device_get(translator.parameters),
        source_vocabulary=translator.tokenizer.source_vocabulary(),
        target_vocabulary=translator.tokenizer.target_vocabulary(),
        rules=translator.rules,
        tokenizers=home.tokenizer_paths(translator.config),
        run=home.path.absolute().name,
        step=translator.step,
    )


def lines_to_compare(translator: Translator, options: argparse.Namespace) -> list[str]:
    """The lines to compare: the first of --lines FILE, or of the run's validation set. InputError if none can be."""
    if options.lines:
        lines: Sequence[str] = read_lines(options.lines)
    else:
        try:
            corpora = load_corpora(translator.config.data, "validation")
        except InputError as error:
            raise InputError(f"{error}; or compare other lines with --lines FILE, or none with --report 0") from None
        lines = [pair.source for corpus in corpora for pair in corpus.pairs]
        read = [("data.validation", file) for file in text_files(translator.config.data, "validation")]
        check_outputs([("--json", options.json)], read)
    chosen = list(lines[: options.report])
    if not encoded(translator, chosen):
        which = f", for its first {len(chosen)} are blank or too long" if chosen else ""
        raise InputError(f"{options.lines or 'the validation set'}: holds no line to compare the export on{which}")
    return chosen


def encoded(translator: Translator, lines: Sequence[str]) -> dict[int, list[int]]:
    """The lines that can be compared, as tokens, by their index: those that are neither blank nor too long."""
    sources = translator.tokenizer.encode_source(lines)
    pairs = enumerate(zip(lines, sources, strict=True))
    return {index: source for index, (line, source) in pairs if line.strip() and 1 < len(source) <= translator.limit}


def parity_report(
    translator: Translator, trained: Trained, directory: Path, lines: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """The comparison in float32, which must agree; for a quantised export also its own, which cannot agree exactly."""
    from dragoman.exchange import parity, reference, standalone  # which import ctranslate2

    fit = encoded(translator, lines)
    ours = reference.make_reference(trained, list(fit.values()), [index + 1 for index in fit])
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        directories = {options.quantization: directory}
        if options.quantization != "float32":
            directories = {"float32": Path(temporary), **directories}
            FORMATS["ctranslate2"](trained, Path(temporary), quantization="float32")
        for name, home in directories.items():
            found[name] = parity.compare(ours, standalone.Translator(home), [lines[index] for index in fit])
    return {
        "run": options.run,
        "checkpoint": translator.checkpoint,
        "step": translator.step,
        "ctranslate2": require("ctranslate2").__version__,
        "lines": len(lines),
        "left_out": len(lines) - len(fit),
        "tolerance": parity.TOLERANCE,
        "found": {name: result.as_json() for name, result in found.items()},
        "problems": found["float32"].problems(),
    }


def table(report: dict[str, Any]) -> str:
    """The comparison in columns, one for float32 and one for the quantised export."""
    columns = list(report["found"].values())
    first = columns[0]
    rows = [
        ("lines with the same tokens", [f"{column['same_tokens']}" for column in columns]),
        (
            f"largest difference of {first['tokens']} tokens' scores",
            [f"{c['largest_difference']:.1e}" for c in columns],
        ),
    ]
    for name in [*first["searches"], "own"]:
        agreements = [column["own"] if name == "own" else column["searches"][name] for column in columns]
        for kind, label in {
            "same": "the run's own search: same translation" if name == "own" else f"{name}: same translation",
            "ties": "  another one, equally good",
            "cut": "  met the length limit",
            "different": "  different",
        }.items():
            rows.append((label, [f"{agreement[kind]}" for agreement in agreements]))
    left_out = f" ({report['left_out']} left out: blank or too long)" if report["left_out"] else ""
    head = f"{report['run']} in CTranslate2 {report['ctranslate2']}, {report['lines']} lines{left_out}"
    lines = [("", list(report["found"])), *rows]
    return "\n".join([head, *(f"{label:50}" + "".join(f"{cell:>14}" for cell in cells) for label, cells in lines)])
