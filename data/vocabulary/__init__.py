"""Vocabularies: SentencePiece models, subword sampling, pre-trained word vectors.

pieces         how SentencePiece spells text
tokenizer      text to ids and back
merges         the merges that made a piece
spelling       which pieces may come next while a given text is being written
learning_text  the lines that a vocabulary is learned from
symbols        texts that a recipe reserves as pieces
given          an existing vocabulary instead of a learned one
prepared       the vocabulary of a recipe, found in the cache if it was learned before
model_file     what a model file says that its processor does not
sampling       subword regularisation
dropout        ... with a BPE vocabulary: merges are skipped
lattice        ... with a unigram vocabulary: segmentations by their probability
pair_table     a table from pairs of integers to integers
vectors        pre-trained word vectors for the pieces
"""
