"""Follow a sentence through a run: `python explain.py RUN "A sentence." --output page.html`.

The code is in dragoman/commands/explain.py; `dragoman explain` is the same command.
"""

from dragoman.commands.main import run

if __name__ == "__main__":
    run("explain")
