"""Exact probabilities at chosen positions, and what is read from them: target words, distances, near words."""
