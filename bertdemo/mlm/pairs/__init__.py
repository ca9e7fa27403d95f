"""Sentences that differ in one word, read side by side: templates, their variants, and how the answers differ."""
