"""The Train tab: data, settings, the live chart, what changed, and the runs so far."""
