"""Masking, batches, steps, evaluation: training as a generator of events; what is said before it and after."""
