"""Batches from token pairs: filters, order, packing, and a stream of batches that resumes exactly.

filters      which pairs are dropped, and why
order        the order in which training pairs are drawn
packing      pairs to rows, and rows to a Batch
blocks       the endless stream of training batches, and its position
pipeline     what training calls: `training_batches` and `evaluation_batches`
description  the size of a training set
"""
