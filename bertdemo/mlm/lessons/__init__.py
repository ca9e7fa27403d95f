"""What the lessons show, computed by the same engine that trains and predicts."""
