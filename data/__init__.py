"""The text side of training: from files to batches of token ids. It uses NumPy only; nothing here imports JAX.

files -> sources -> vocabulary -> batching (filters, order, packing) -> Batch
"""
