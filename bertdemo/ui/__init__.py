"""The page: Gradio lives here and nowhere else. It lays out, wires and translates errors; it computes nothing."""
