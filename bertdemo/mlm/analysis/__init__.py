"""What a prediction rests on, and how two differ.

``compare`` sets two models side by side at every mask, ``counterfactuals`` two wordings; ``erasure`` blanks each word
in turn, ``layer_lens`` reads every layer, ``attention_maps`` shows where a mask looked, ``neighbours`` which words are
alike.
"""
