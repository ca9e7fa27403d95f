"""From a name to weights: folders, the hub, the bundled model; shared copies to read, private ones to train."""
