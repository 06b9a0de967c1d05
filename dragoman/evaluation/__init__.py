"""How good translations are: metrics, and baselines to beat."""
