"""Text before training: from files to batches of token ids. NumPy only: nothing here imports JAX.

files -> sources -> vocabulary -> batching (filters, order, packing) -> Batch
"""
