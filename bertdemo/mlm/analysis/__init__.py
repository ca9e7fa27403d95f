"""What a prediction rests on and how two differ: pairs, counterfactuals, layers, erasure, attention."""
