"""Scores translations.

held_out                   validation and test sets, as training and `dragoman evaluate` share them
tokenizers metrics         where the words of a reference are; BLEU, chrF and TER
baselines ibm_model_1      what a model should beat; the dictionary of one of them
"""
