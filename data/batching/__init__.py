"""Batches from token pairs: filters, order, packing, and a stream of batches that resumes exactly."""
