"""The course of a training run, in the order in which it happens; commands/train.py joins the parts.

plan          everything settled before the first update
start         the vocabulary and first parameters, or the last good checkpoint
start_from    the encoder, or the stack of layers, of a trained run
loop          updates, validation, saving
progress      how far a run has come, and what is due
validation    loss and scores on held-out pairs
meter log     what updates report, and where it is written
memory        the largest update that fits, and what to do when memory runs out
compilations  how long compilation takes, and a warning when it repeats
ahead         compiles the programs of validation in a thread
"""
