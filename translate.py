"""Translate lines of text with a run: `python translate.py RUN < input.txt > output.txt`.

The code is in dragoman/commands/translate.py; `dragoman translate` is the same command.
"""

from dragoman.commands.main import run

if __name__ == "__main__":
    run("translate")
