"""From the pixels of a prompt's generations to a verdict: distances, cliques, matching."""
