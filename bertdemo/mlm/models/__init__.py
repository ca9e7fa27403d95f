"""A name becomes a loaded model. In this order:

``registry`` finds and shares models, ``loading`` and ``hub`` read checkpoints; ``masked_lm`` is what everyone holds;
``architectures`` is the one table of where each kind keeps its parts, ``encoder`` and ``attention`` compute BERT's own,
and ``devices`` knows what the machine computes with.
"""
