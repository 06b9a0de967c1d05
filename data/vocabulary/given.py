"""A vocabulary from existing SentencePiece models, instead of one that is learned."""

from pathlib import Path
from typing import Any

import sentencepiece
from google.protobuf.message import DecodeError

from data.batch import BOS, EOS, PAD, UNK
from data.config import DataConfig
from data.errors import InputError
from data.reporting import Note, ignore
from data.vocabulary.model_file import KIND, ModelProto
from data.vocabulary.pieces import END, TOKENIZER_FILES, UNKNOWN
from data.vocabulary.tokenizer import Tokenizer

SPECIAL = {PAD: ("pad", "<pad>"), UNK: ("unk", UNKNOWN), BOS: ("bos", "<s>"), EOS: ("eos", END)}
"""The special ids, with SentencePiece's names of them, and the usual names of their pieces."""


def given_tokenizer(config: DataConfig, *, note: Note = ignore) -> Tokenizer | None:
    """The tokenizer of the models that `data.tokenizer` names; None if it names none.

    Dragoman's special ids are 0 to 3. A model with others, or without some, is renumbered, and `note` gets a line.
    """
    if not config.tokenizer:
        return None
    paths = [config.tokenizer] if isinstance(config.tokenizer, str) else config.tokenizer
    count = len(TOKENIZER_FILES[config.vocabulary])
    if len(paths) != count:
        raise InputError(
            f'data.tokenizer: found {len(paths)} of {count} files that data.vocabulary = "{config.vocabulary}" needs: '
            "name one for a joint vocabulary, [source model, target model] for separate ones"
        )
    return Tokenizer([_read_model(Path(path), config.symbols, note) for path in paths])


def _read_model(path: Path, symbols: list[str], note: Note) -> bytes:
    try:
        content = path.read_bytes()
        model = ModelProto.FromString(content)
    except OSError as error:
        raise InputError(f"data.tokenizer: {path}: cannot be read: {error.strerror}") from None
    except DecodeError:
        raise InputError(
            f"data.tokenizer: {path}: not a SentencePiece model: expected a file such as spm.model"
        ) from None
    names = {piece.piece for piece in model.pieces}
    if missing := [symbol for symbol in symbols if symbol not in names]:
        raise InputError(
            f"data.symbols: {missing[0]!r} is not a piece of {path}: add it to that model, or leave it out"
        )
    found = {name: special_id(model, name) for name, _ in SPECIAL.values()}
    if [*found.values()] != [*SPECIAL]:
        ids = ", ".join(f"{name} {'none' if id_ is None else id_}" for name, id_ in found.items())
        note(f"{path}: its special ids are {ids}: its pieces are renumbered, with pad 0, unk 1, bos 2, eos 3 first")
        content = renumbered(model, found).SerializeToString()
    _check(path, content)
    return content


def special_id(model: Any, name: str) -> int | None:
    """The id of the special piece that SentencePiece calls pad, unk, bos or eos. None if a model has none."""
    if name == "unk":
        return next((place for place, piece in enumerate(model.pieces) if piece.type == KIND.UNKNOWN), None)
    text = getattr(model.trainer_spec, f"{name}_piece")
    found = (place for place, piece in enumerate(model.pieces) if piece.piece == text and piece.type == KIND.CONTROL)
    return next(found, None)


def renumbered(model: Any, found: dict[str, int | None]) -> Any:
    """The model with the special pieces first, in the order of SPECIAL, and the others in their order.

    Scores and rules of splitting stay as they are, so a text is split into the same pieces.
    """
    taken = {piece.piece for piece in model.pieces}
    result = ModelProto()
    result.CopyFrom(model)
    del result.pieces[:]
    for id_, (name, text) in SPECIAL.items():
        place = found[name]
        piece = result.pieces.add()
        if place is None:
            text = f"<dragoman:{name}>" if text in taken else text
            piece.piece, piece.score, piece.type = text, 0.0, KIND.UNKNOWN if name == "unk" else KIND.CONTROL
            setattr(result.trainer_spec, f"{name}_piece", text)
        else:
            piece.CopyFrom(model.pieces[place])
        setattr(result.trainer_spec, f"{name}_id", id_)
    result.pieces.extend(piece for place, piece in enumerate(model.pieces) if place not in found.values())
    result.trainer_spec.vocab_size = len(result.pieces)
    return result


def _check(path: Path, content: bytes) -> None:
    """InputError unless SentencePiece can use the model with Dragoman's special ids."""
    try:
        processor: Any = sentencepiece.SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"data.tokenizer: {path}: SentencePiece cannot load it with our special ids: {reason}"
        ) from None
    ids = [processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()]
    if ids != [*SPECIAL]:
        raise InputError(
            f"data.tokenizer: {path}: its special ids are {ids}, expected {[*SPECIAL]}: export it with these"
        )
