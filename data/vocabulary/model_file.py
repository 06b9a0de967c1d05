"""What SentencePiece's model files say that its processor does not tell."""

from typing import Any

from sentencepiece import sentencepiece_model_pb2

ModelProto: Any = vars(sentencepiece_model_pb2)["ModelProto"]  # made on import, so a type checker does not see it
KIND = ModelProto.SentencePiece  # has the kinds of piece: NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE, UNUSED


def user_defined(processor: Any) -> list[int]:
    """The ids of pieces that are reserved texts, such as `data.symbols`."""
    model = ModelProto.FromString(processor.serialized_model_proto())
    return [place for place, piece in enumerate(model.pieces) if piece.type == KIND.USER_DEFINED]
