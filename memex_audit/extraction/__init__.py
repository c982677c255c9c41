"""Whether a model gives back what it was trained on: distances, cliques, matches, verdicts, thresholds."""
