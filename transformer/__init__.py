"""The array side: model, loss, update, devices and search.

    config -> model -> training (loss, update) -> decoding (search)      devices: where the arrays are

Axis letters, each with one meaning in the whole repository:

    B rows          S source or key length    T target or query length    L longest output
    D model width   F feed-forward width      N heads                     H head width
    V vocabulary    K beams                   C candidates of a search step
    P longest prefix                          M required terms, of up to Q tokens

Axes of a single function have lower-case names. In a plain linear layer, D and F are the widths in and out.
"""
