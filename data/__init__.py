"""The text side of training: from files to batches of token ids. It uses NumPy only; nothing here imports JAX.

    files (lines) -> sources -> vocabulary -> tokens -> batching (filters, order, packing) -> Batch (batch)

sources         where pairs of sentences come from
text            what is done to lines before they are tokenised, and what their characters show
vocabulary      SentencePiece: learning, loading and sampling
tokens          the token ids of a corpus, in files
batching        from token pairs to a stream of batches
storage         files of any size, and the cache of what was prepared once

Modules that several of these folders share, or the other packages, are here:

batch config    a batch of token ids; the knobs of the text side, and how any knob is declared
lines           the lines of a file
languages       what a language code says about a text; it is not in `text`, whose modules need no other package
random_numbers  numbers that depend only on where they are used
errors          InputError
reporting       callbacks for progress and for notes to the user
memory          how much memory is free
"""
