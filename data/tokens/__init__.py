"""Token ids of many sentence pairs, as a few large arrays.

ragged   lists of different lengths in one array, and the two sides of pairs
store    the tokens of the training text, in files that are made once
redraw   the tokens of pairs that differ from draw to draw: subword sampling, changed texts
workers  processes that compute them
"""
