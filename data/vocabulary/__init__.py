"""Vocabularies: SentencePiece models, subword sampling, pre-trained word vectors."""
