"""Scores translations: metrics, and baselines to beat."""
