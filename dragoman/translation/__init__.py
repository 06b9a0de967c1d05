"""Translates lines of text, and gives scores, words and alignments of the translations."""
