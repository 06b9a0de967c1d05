"""Batches from token pairs: filters, order, packing, and a stream of batches that resumes exactly.

filters       which pairs are dropped, and why
chosen        which pairs are drawn: all, or without duplicates
order         the order in which training pairs are drawn
permutation   a shuffle of any size, computed for any part of it
packing       pairs to rows
layout        rows to a Batch
augmentation  what training does to pairs: capitals, typing errors, several sentences on a line
denoising     masked and replaced tokens, for an encoder to restore
blocks        the endless stream of training batches, and its position
pipeline      what training calls: `training_batches` and `evaluation_batches`
description   the size of a training set
"""
