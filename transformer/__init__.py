"""The array side: model, loss, update, devices and search.

Axis letters, each with one meaning in the whole repository:

    B rows          S source or key length    T target or query length    L longest output
    D model width   F feed-forward width      N heads                     H head width
    V vocabulary    K beams
"""
