"""What can be said before a run: what a file would give, how long it takes, which settings are unusual."""
