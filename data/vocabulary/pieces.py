"""How SentencePiece spells text in pieces: its marks, its special pieces, and the files it is kept in."""

import re

SPACE = "\u2581"
"""A space within a piece; the first word of a line begins with one too: "a dog" -> ["▁a", "▁dog"]."""

UNKNOWN, END = "<unk>", "</s>"
BYTE = re.compile("<0x([0-9A-F]{2})>")
"""A piece that stands for one byte of a character that the vocabulary lacks."""

TOKENIZER_FILES: dict[str, tuple[str, ...]] = {
    "joint": ("tokenizer.model",),
    "separate": ("tokenizer.source.model", "tokenizer.target.model"),
}
"""File names by `data.vocabulary`. In a directory that holds both kinds, the first is loaded."""
