"""Score runs on a test set: `python evaluate.py RUN... [--source FILE --reference FILE]`.

The code is in dragoman/commands/evaluate.py; `dragoman evaluate` is the same command.
"""

from dragoman.commands.main import run

if __name__ == "__main__":
    run("evaluate")
