"""What a person typed as the model reads it: word pieces, masks however written, and their vocabularies."""
