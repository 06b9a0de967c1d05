"""From pairs of tokens to rows: filters, order, packing, and the stream of batches that a run resumes."""
