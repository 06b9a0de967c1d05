"""The text side of training: from files to batches of token ids. It uses NumPy only; nothing here imports JAX.

files (lines) -> sources -> vocabulary -> batching (filters, order, packing) -> Batch (batch)

`text` has what is done to lines before they are tokenised, `augmentation` what training does to pairs besides.
`languages` knows what a language code says about a text, `scripts` what its characters show. `config` has the knobs of
the text side, and how any knob is declared; `errors` has InputError. `cache` keeps what was prepared once, and
`checksums` notice when it is damaged.
"""
