"""Parts of the page that Gradio does not have: each a ``gr.HTML`` with its own small script."""
