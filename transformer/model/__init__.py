"""The model: embeddings, positions, masks, attention, layers, and how they are put together."""
