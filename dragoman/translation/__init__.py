"""Translates lines of text, and gives scores, words and alignments of the translations.

translator             what commands and Python call; `members` and `loaded` make one from checkpoints
arguments              what Python passes, checked
line_search            lines to requests, search, hypotheses to text; `search_memory` rejects what does not fit
glossary requirements  required words: those of a line, and which of them a search is asked for; `words` splits text
spelling consensus     how banned words may be spelled; minimum Bayes risk
result                 a line's translation
generation             text without a source
filling                masked places filled, texts restored
details record         pieces, confidences and alignment, and the JSON of them; `alignment` links words
marks                  good, check or redo, by thresholds learned for a run
guard                  flags translations that look wrong
output                 reading lines, and writing translations to a file
statistical_alignment  a word aligner to compare attention with
"""
