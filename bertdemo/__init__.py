"""See what a masked language model expects: explore it, fine-tune it, compare before and after.

Importing this package builds, loads and opens nothing.
"""

__version__ = "0.1.0"
