"""A name becomes a loaded model: its architecture, encoder, device and precision; loading, the hub, sharing."""
