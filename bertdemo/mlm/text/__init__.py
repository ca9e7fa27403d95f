"""What a person typed becomes token ids: pieces, vocabularies, blanks, notes on what was changed."""
