"""The text side: files, tokens, rows, and metrics on text. NumPy only: nothing here imports JAX.

text -> sources -> tokenizer -> filters -> pipeline (shuffle, pack) -> Batch
"""
