"""Prepares the text of a recipe ahead of training, and says what is in it.

prepare     fills the cache with what training needs, and surveys the text
survey      the passes over the training text
lengths     tokens of a side: how many, and how they are distributed
repeats     pairs that occur more than once, and held-out lines that training contains
oddities    lines in another script, and pairs of very different lengths
report      what was found, as lines of text and as JSON
"""
