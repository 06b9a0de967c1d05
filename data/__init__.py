"""The text side of training: from files to batches of token ids. It uses NumPy only; nothing here imports JAX.

files (lines) -> sources -> vocabulary -> tokens -> batching (filters, order, packing) -> Batch (batch)

`text` has what is done to lines before they are tokenised, and what their characters show; `languages` knows what a
language code says about a text. `storage` reads files of any size and keeps what was prepared once. `random_numbers`
has numbers that depend only on where they are used. `config` has the knobs of the text side, and how any knob is
declared; `errors` has InputError, and `memory` knows how much memory is free.
"""
