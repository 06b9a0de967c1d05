"""Train a translation model on parallel text: `python train.py RECIPE --run DIRECTORY`.

The code is in dragoman/commands/train.py; `dragoman train` is the same command.
"""

from dragoman.commands.main import run

if __name__ == "__main__":
    run("train")
