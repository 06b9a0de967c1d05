"""Fill the masked places of a text by a denoising encoder (model.assembly): the likeliest words, with probabilities.

dragoman fill runs/bert "A man is [MASK] a horse."
"""

import argparse
from pathlib import Path

from data.errors import InputError, check_is_text
from dragoman.commands.options import ArgumentParser, add_run_options
from dragoman.commands.paths import check_outputs
from dragoman.files import check_writable, write_json
from dragoman.translation.filling import MARK, fill_text, load_filler
from transformer.devices.compilation import use_compilation_cache


def main(arguments: list[str]) -> int:
    """The exit status of the command. It prints the filled text, and the candidates for each place."""
    options = parse(arguments)
    check_outputs([("--json", options.json)], [], runs=[options.run])
    if options.json:
        check_writable(options.json)
    use_compilation_cache()
    found = fill_text(load_filler(options.run, options.checkpoint), options.text, top=options.top)
    print(found.text)
    for number, candidates in enumerate(found.candidates, 1):
        if len(found.candidates) > 1:
            print(f"{MARK} {number}")
        for word, probability in candidates:
            print(f"  {probability:.4f}  {word}")
    if options.json:
        record = [[{"word": word, "probability": value} for word, value in one] for one in found.candidates]
        write_json(options.json, {"text": found.text, "candidates": record})
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed options. InputError for a number of words that cannot be, or text that is not UTF-8."""
    parser = ArgumentParser(
        description=f"Fill each {MARK} of a text by a denoising encoder (model.assembly): its likeliest words, with "
        "their\nprobabilities. A place is filled with one piece of the vocabulary; ## stands before a piece that "
        "continues a word."
    )
    add_run_options(parser)
    parser.add_argument("text", metavar="TEXT", help=f"the text, with {MARK} at each place to fill")
    parser.add_argument("--top", metavar="N", type=int, default=5, help="words for each place; 0: all (default: 5)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the words and probabilities as JSON")
    options = parser.parse_args(arguments)
    check_is_text(options.text, "the text")
    if options.top < 0:
        raise InputError(f"--top is {options.top}: expected 0 or more")
    return options
