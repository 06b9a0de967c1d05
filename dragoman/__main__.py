"""`python -m dragoman train ...`: the same as the console command `dragoman`."""

from dragoman.commands.main import main

main()
