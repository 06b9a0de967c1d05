"""SentencePiece's conventions: its markers, its special pieces, and the names of model files."""

import re

SPACE = "\u2581"
"""A space in a piece. The first word of a line begins with one too: "a dog" -> ["▁a", "▁dog"]."""

UNKNOWN, END = "<unk>", "</s>"
BYTE = re.compile("<0x([0-9A-F]{2})>")
"""A piece for one byte of a character that is not in the vocabulary."""

TOKENIZER_FILES: dict[str, tuple[str, ...]] = {
    "joint": ("tokenizer.model",),
    "separate": ("tokenizer.source.model", "tokenizer.target.model"),
}
"""File names by `data.vocabulary`. In a directory that holds both kinds, the first is loaded."""
