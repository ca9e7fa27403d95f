"""What can be read inside a model that predicts: states of every layer, attention, and the words that masks hide."""
