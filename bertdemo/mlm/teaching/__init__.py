"""The lessons: the engine itself, driven step by step and shown; each recipe is settings, not a second loop."""
