"""Vocabularies: SentencePiece models, subword sampling, pre-trained word vectors.

pieces     how SentencePiece spells text
tokenizer  text to ids and back
sampling   subword regularisation
vectors    pre-trained word vectors for the pieces
"""
