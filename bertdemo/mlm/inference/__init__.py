"""Exact probabilities at chosen positions.

``log_probs`` is where predictions leave the model, with ranks, entropy and divergence; ``fill_mask`` gives candidates
and target words at each mask, ``fill_in_order`` fills several one after the other, ``pseudo_likelihood`` scores a
sentence.
"""
