"""The array side: model, loss, update, devices, checkpoints, search.

Axis letters, one meaning each in the whole repository:

    B rows          S source or key length    T target or query length    L longest output
    D model width   F feed-forward width      N heads                     H head width
    V vocabulary    K beams
"""
