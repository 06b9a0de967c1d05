"""Follow one sentence through a run: pieces, embeddings, attention, residual stream, predictions, search, cache, loss.

dragoman explain runs/m30k "A man is sleeping." --output page.html --json numbers.json
"""

import argparse
import json
from pathlib import Path

from data.errors import InputError
from dragoman.commands.options import ArgumentParser, add_run_options
from dragoman.commands.paths import check_outputs
from dragoman.explanation.explanation import Explanation
from dragoman.explanation.lens import landing
from dragoman.explanation.page import explanation_page
from dragoman.files import check_writable, write_text
from dragoman.reports.page import write_page
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache


def main(arguments: list[str]) -> int:
    """The exit status of the command. It prints a summary, and writes what was asked for."""
    options = parse(arguments)
    outputs = [(name, path) for name, path in (("--output", options.output), ("--json", options.json)) if path]
    check_outputs(outputs, [], runs=[options.run])
    for _, path in outputs:
        check_writable(path)
    use_compilation_cache()
    translator = Translator.load(options.run, checkpoint=options.checkpoint, beam=options.beam)
    found = translator.explain(options.sentence, options.reference)
    print("\n".join(summary(found)))
    if options.output:
        write_page(options.output, explanation_page(found))
    if options.json:
        write_text(options.json, json.dumps(found.numbers(), ensure_ascii=False) + "\n")
    return 0


def summary(found: Explanation) -> list[str]:
    """The lines that the command prints."""
    names = {
        "encoder_attention": "encoder",
        "decoder_self_attention": "decoder, masked self-attention",
        "cross_attention": "decoder, attention to the source",
    }
    lines = [found.reading.translation, f"pieces: {' '.join(found.pieces)}"]
    for name, layers in found.heads.items():
        for layer, heads in enumerate(layers, 1):
            lines.append(f"{names[name]}, layer {layer}: heads {', '.join(head.role for head in heads)}")
    landed = zip(found.target_pieces, found.lens, strict=True)
    lines.append(f"settled after layer: {', '.join(f'{piece} {landing(readings)}' for piece, readings in landed)}")
    if found.reference:
        losses = found.reference.learned.losses
        lines.append(f"loss of the reference: {sum(losses) / len(losses):.3f} nats a piece")
    return lines


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed options. InputError for a reference that is given but blank."""
    parser = ArgumentParser(
        description="Follow one sentence through an encoder-decoder: how it is cut into pieces, what each attention "
        "head looks at,\nwhat each layer adds, when the prediction settles, what the search pruned, and what the cache "
        "saves.",
    )
    add_run_options(parser)
    parser.add_argument("sentence", metavar="SENTENCE", help="one sentence of the source language")
    parser.add_argument(
        "--reference",
        metavar="TEXT",
        help="a right translation: also shows its loss, piece by piece, and the gradient that reaches each part",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write a page that shows all of it: one HTML file, which needs no network and no JavaScript",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all numbers as JSON")
    parser.add_argument(
        "--beam", metavar="N", type=int, help="hypotheses that the search keeps at each step (default: the run's)"
    )
    options = parser.parse_args(arguments)
    if options.reference is not None and not options.reference.strip():
        raise InputError("--reference is blank: leave it out, or give a right translation")
    options.reference = options.reference or ""
    return options
