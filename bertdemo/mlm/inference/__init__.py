"""Exact probabilities at chosen places: filling masks, filling in order, target words, pseudo-likelihood."""
