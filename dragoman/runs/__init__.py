"""The run directory: recipe, config, checkpoints with their manifests, and which checkpoint is best."""
