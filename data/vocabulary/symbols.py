"""Symbols that a recipe reserves: each is one piece of the vocabulary wherever it occurs in a text."""

from collections.abc import Sequence

from data.errors import InputError
from data.vocabulary.pieces import BYTE, END, ESCAPE, SPACE, UNKNOWN

RESERVED = {"<pad>", UNKNOWN, "<s>", END}


def check_symbols(symbols: Sequence[str]) -> None:
    """InputError for symbols that a vocabulary cannot hold, or that would not come back as they were."""
    for place, symbol in enumerate(symbols):
        if symbol in RESERVED or BYTE.fullmatch(symbol):
            problem = "is a piece of every vocabulary already"
        elif not symbol or any(c.isspace() or c in (SPACE, ESCAPE, "\0") for c in symbol):
            problem = "must be a text without white space, U+2581 and U+FDD0"
        elif symbol in symbols[:place]:
            problem = "is listed twice"
        else:
            continue
        raise InputError(f"data.symbols: {symbol!r} {problem}")
