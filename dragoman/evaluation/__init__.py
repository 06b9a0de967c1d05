"""Scores translations.

results                    the record of an evaluation: systems, outputs, scores, comparisons
held_out                   validation and test sets, as training and `dragoman evaluate` share them
tokenizers metrics         where the words of a reference are; BLEU, chrF and TER
edit_rate prepared_bleu    metrics that sacrebleu lacks: for text without spaces, and for Multi30k's papers
command_metric             a metric that is a command of the user's
significance seeds         what may be chance: intervals, p-values, the spread of seeds
kept                       what was computed before, in a cache
systems decoding           the systems that a user names; their translations
checks scoring             rows of the table: what looks wrong in outputs, scores with their intervals
comparisons                what differs from a baseline
evaluation                 all of it, in one record; `serialization` and `table` show it
baselines ibm_model_1      what a model should beat; the dictionary of one of them
training_text hashes       what a run remembers of its training text, in bounded memory
sweep                      settings of the search, compared on the validation set
calibration                how well confidence predicts chrF, and thresholds from that
supplements                what an evaluation says besides scores, from all that follows
word_f1                    words by their frequency in the training text
overlap                    lines of a test set that occur in it, and scores without them
plausibility line_order    warnings about texts that would be scored wrongly; lines that are shifted or shuffled
robustness                 scores of disturbed text beside those of the clean one, from three kinds of test sets:
  perturbations            the same lines, disturbed as people disturb text
  single_words paragraphs  less than a sentence, and more; sentences that get lost
"""
