"""The run directory: recipe, config, checkpoints with their manifests, and the choice of the best checkpoint."""
