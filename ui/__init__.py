"""The page: Gradio over the public names of the engine."""
