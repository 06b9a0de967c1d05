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

# SentencePiece writes a space as U+2581, so U+2581 in the text would be decoded as a space. It is escaped instead.
ESCAPE = "\ufdd0"
ESCAPED = {ESCAPE: ESCAPE + "0", SPACE: ESCAPE + "1"}
ESCAPES = {ord(key): value for key, value in ESCAPED.items()}
UNESCAPED = {value: key for key, value in ESCAPED.items()}


def escape(text: str) -> str:
    """The text with U+2581 escaped: "a\\u2581" -> "a\\ufdd01"."""
    return text.translate(ESCAPES) if SPACE in text or ESCAPE in text else text


def unescape(text: str) -> str:
    """The inverse of `escape`. Invalid escapes are left unchanged."""
    return re.sub(f"{ESCAPE}[01]", lambda match: UNESCAPED[match.group()], text) if ESCAPE in text else text
