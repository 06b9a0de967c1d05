"""Prepares the text of a recipe ahead of training, and says what is in it.

Training with the same recipe and the same cache then starts in seconds. What is prepared, and how long it takes:
docs/data.md.
"""

from pathlib import Path

from data.languages import check_codes
from dragoman.commands.options import ArgumentParser, add_config_options, overrides
from dragoman.commands.paths import check_outputs, files_of_recipe
from dragoman.files import check_writable, write_json
from dragoman.messages import say, warn
from dragoman.preparation.prepare import prepare
from dragoman.preparation.report import lines
from dragoman.runs.recipe import read_recipe


def main(arguments: list[str]) -> int:
    """The exit status of the command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="a recipe such as configs/toy.toml")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what is in the text as JSON")
    add_config_options(parser)
    options = parser.parse_args(arguments)
    config = read_recipe(options.recipe, overrides(options), note=warn)
    check_codes(config.data)
    check_outputs([("--json", options.json)], [("the recipe", options.recipe), *files_of_recipe(config)])
    if options.json:
        check_writable(options.json)
    found = prepare(config)
    for line in lines(found):
        say(line)
    if options.json:
        write_json(options.json, found)
    say(f"\ntrain:  dragoman train {options.recipe} --run DIRECTORY, with the same options")
    return 0
