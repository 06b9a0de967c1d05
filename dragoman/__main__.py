"""`python -m dragoman train ...`: the same as the console command `dragoman`."""

import sys
from pathlib import Path

from dragoman.own_packages import ROOT

# Python puts the working directory first, where any file may have the name of a module that we import.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != ROOT:
    del sys.path[0]

from dragoman.commands.main import main

main()
