"""The parts of one training run: batches in order, a step, optimisers, precision, probes, several processes."""
