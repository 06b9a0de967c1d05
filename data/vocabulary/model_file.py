"""What SentencePiece's model files say that its processor does not tell."""

from typing import Any

from sentencepiece import sentencepiece_model_pb2

ModelProto: Any = vars(sentencepiece_model_pb2)["ModelProto"]  # made on import, so a type checker does not see it
TRAINER: Any = vars(sentencepiece_model_pb2)["TrainerSpec"]  # has the types of model: UNIGRAM, BPE, WORD, CHAR
KIND = ModelProto.SentencePiece  # has the kinds of piece: NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE, UNUSED


def model_of(processor: Any) -> Any:
    """The content of the model file that a processor was made from."""
    return ModelProto.FromString(processor.serialized_model_proto())
