"""The run directory: recipe, config, checkpoints with their manifests, and the choice of the best checkpoint.

recipe      TOML files and command-line overrides to a Config
run         paths, config, lock and metrics of a run
identity    which knobs may change when a run resumes, and the hashes that checkpoints carry
storage     arrays on disk
manifest    what a checkpoint holds; `verify` checks it, file by file
checkpoint  saving, restoring and averaging checkpoints
selection   the latest checkpoint, and the best
loading     from what a user names to a checkpoint and its config
"""
