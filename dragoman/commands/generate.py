"""Write text with a decoder-only run, without a source: the text that is given, and what the model adds.

dragoman generate runs/gpt "A man" --number 5
"""

import argparse
import json

from data.errors import InputError, check_is_text
from dragoman.commands.compiling import announcing_compilation
from dragoman.commands.options import ArgumentParser, add_config_options, add_run_options, section_overrides
from dragoman.messages import tell
from dragoman.translation.generation import language_written
from dragoman.translation.translator import Translator
from transformer.devices.compilation import use_compilation_cache

COMPILING = "compiling the search, once for each length and number; later commands find it in the cache"


def main(arguments: list[str]) -> int:
    """The exit status of the command. It prints a line for each text."""
    options = parse(arguments)
    use_compilation_cache()
    knobs = {"sampling": "true", "beam": str(options.number)} | section_overrides(options, "decoding")
    translator = Translator.load(options.run, checkpoint=options.checkpoint, n_best=options.number, decoding=knobs)
    with announcing_compilation(COMPILING):
        texts = translator.generate(options.text, length=options.length)
    if translator.config.training.objective != "both_sides":
        tell(
            f"note: {options.run} has learned no text without a source, so it writes {language_written(translator)}, "
            'and perhaps little sense: training.objective "both_sides" teaches it to write the source language'
        )
    for text in texts:
        print(json.dumps(text._asdict(), ensure_ascii=False) if options.json else text.text)
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The parsed options. InputError for a number or a length that cannot be, or text that is not UTF-8."""
    parser = ArgumentParser(
        description="Write text with a decoder-only run (model.assembly), without a source. Each text is a sample, "
        "unless\n--decoding.sampling false asks for the likeliest ones.",
    )
    add_run_options(parser)
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        default="",
        help="how the text begins, perhaps within a word (default: empty)",
    )
    parser.add_argument("--number", metavar="N", type=int, default=1, help="texts to write (default: 1)")
    parser.add_argument(
        "--length",
        metavar="N",
        type=int,
        default=0,
        help="longest text in tokens, TEXT and the end included (default: data.maximum_tokens of the run)",
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object for each text")
    add_config_options(parser, ["decoding"], default="the run's")
    options = parser.parse_args(arguments)
    check_is_text(options.text, "the text")
    for name, least in (("number", 1), ("length", 0)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} is {getattr(options, name)}: expected {least or 2} or more")
    return options
