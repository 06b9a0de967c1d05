"""Token ids of many sentence pairs, as a few large arrays.

ragged  lists of different lengths in one array, and the two sides of pairs
"""
